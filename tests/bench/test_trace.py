"""A traced run as a file for Perfetto's viewer, read back, and as tables."""

from __future__ import annotations

import zlib
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent
from rich.console import Console

from headrace.bench.events import steps, worker_events
from headrace.bench.profile import stage_times
from headrace.bench.trace import TracedRun
from headrace.bench.trace_file import trace_bytes, write_trace
from headrace.bench.trace_table import trace_tables
from headrace.errors import RequestError
from headrace.ir.dialect import parse_program
from headrace.passes.pipeline import map_program
from headrace.report.stages import stage_rows
from tests.runtime.driving import generate, ids
from tests.runtime.programs import Case, built, captured

MODEL, WORKERS, STEPS = "tiny-llama@q4_0", 2, 8


@pytest.fixture(scope="module")
def run() -> TracedRun:
    module = parse_program(captured(MODEL).text)
    map_program(module, WORKERS)
    rows = stage_rows(module, 16)
    with built(Case(MODEL, WORKERS, trace=True)).open(context=128) as program:
        generate(program, ids(10, 384), STEPS)
        generate(program, ids(10, 384), STEPS)
        found = program.recording()
    return TracedRun("tiny", rows, worker_events(found, rows), found.host)


@pytest.fixture(scope="module")
def packets(run: TracedRun) -> list[TracePacket]:
    whole = Trace.FromString(trace_bytes(run))
    found: list[TracePacket] = []
    for packet in whole.packet:
        assert packet.WhichOneof("data") == "compressed_packets"
        found.extend(Trace.FromString(zlib.decompress(packet.compressed_packets)).packet)
    return found


Slice = tuple[str, str, TrackEvent, int, int, tuple[str, ...]]


def slices(packets: list[TracePacket]) -> dict[str, list[Slice]]:
    """By track: name, category, event, begin, end, and what is around it, the outermost first."""
    names = {p.track_descriptor.uuid: p.track_descriptor.name for p in packets}
    found: dict[str, list[Slice]] = {name: [] for name in names.values() if name}
    stacks: dict[str, list[tuple[TrackEvent, int]]] = {name: [] for name in found}
    before: Counter[str] = Counter()
    for packet in packets:
        if packet.WhichOneof("data") != "track_event":
            continue
        event, at = packet.track_event, packet.timestamp
        track = names[event.track_uuid]
        assert at >= before[track]
        before[track] = at
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stacks[track].append((event, at))
            continue
        assert event.type == TrackEvent.TYPE_SLICE_END
        begun, start = stacks[track].pop()
        around = tuple(each.name for each, _ in stacks[track])
        found[track].append((begun.name, begun.categories[0], begun, start, at, around))
    assert not any(stacks.values())
    return found


def test_tracks(packets: list[TracePacket]) -> None:
    assert list(slices(packets)) == ["host", "worker 0", "worker 1"]
    process = packets[0].track_descriptor
    assert process.process.process_name == "headrace tiny"
    others = [p.track_descriptor for p in packets[1:] if p.HasField("track_descriptor")]
    assert {each.parent_uuid for each in others} == {process.uuid}


def test_every_execution_is_a_slice(run: TracedRun, packets: list[TracePacket]) -> None:
    expected = Counter({row.name: 2 * STEPS * row.trips for row in run.stages})
    for track, found in slices(packets).items():
        stages = [each for each in found if each[1] == "stage"]
        if track != "host":
            assert Counter(name for name, *_ in stages) == expected
            assert Counter(each[1] for each in found)["schedule"] == 2
            assert Counter(each[1] for each in found)["step"] == 2 * STEPS
        for name, *_, around in stages:
            row = next(row for row in run.stages if row.name == name)
            assert around[0] == "schedule"
            assert around[1] in ("step, T = 10", "step, T = 1")
            assert around[2:] in ({(f"trip {t}",) for t in range(2)} if row.trips > 1 else {()})


def test_parts_are_inside(packets: list[TracePacket]) -> None:
    inside = {"prologue": "stage", "products": "stage", "epilogue": "stage"}
    for found in slices(packets).values():
        kinds = {name: kind for name, kind, *_ in found}
        for _, kind, *_, around in found:
            if kind in inside:
                assert kinds[around[-1]] == "stage"
            if kind in ("prefetch", "sleep"):
                assert around[-1].startswith("wait for ")


def test_flows_have_both_ends(run: TracedRun, packets: list[TracePacket]) -> None:
    leaving: dict[int, tuple[str, Slice]] = {}
    entering: dict[int, tuple[str, Slice]] = {}
    for track, found in slices(packets).items():
        for each in found:
            for numbers, ends in (
                (each[2].flow_ids, leaving),
                (each[2].terminating_flow_ids, entering),
            ):
                for number in numbers:
                    assert number not in ends
                    ends[number] = track, each
    assert leaving.keys() == entering.keys()
    waits = [e for events in run.workers for e in events if e.is_stage and e.last is not None]
    assert len(leaving) >= len(waits) > 0
    for number, (source, signal) in leaving.items():
        target, waiter = entering[number]
        assert source != target
        assert signal[4] <= waiter[3] + 5000  # ns: clocks may be read a little early


def test_host_calls(packets: list[TracePacket]) -> None:
    names = [name for name, *_ in slices(packets)["host"]]
    assert names == ["submit", "wait", "poll"] * 2


def test_steps_of_all_workers(run: TracedRun) -> None:
    for events in run.workers:
        found = list(steps(events))
        assert [step.tokens for step in found] == [10, *[1] * (STEPS - 1)] * 2
        assert all(step.events[-1].is_decision for step in found)


def test_stage_times_are_all_of_the_time(run: TracedRun) -> None:
    times = stage_times(run.workers)
    assert list(times) == [row.name for row in run.stages]
    assert sum(each.share for each in times.values()) == pytest.approx(1)
    assert all(each.work > 0 and each.wait >= 0 for each in times.values())


def test_tables(run: TracedRun) -> None:
    out = StringIO()
    console = Console(width=120, file=out)
    for table in trace_tables(run):
        console.print(table)
    text = out.getvalue()
    for words in ("decode: 14 steps", "prefill: 2 steps", "worker 1", "prefetching", "gate_up"):
        assert words in text


def test_a_file_that_cannot_be_written(run: TracedRun, tmp_path: Path) -> None:
    write_trace(run, tmp_path / "run.pftrace")
    assert (tmp_path / "run.pftrace").stat().st_size > 0
    with pytest.raises(RequestError, match="cannot be written"):
        write_trace(run, tmp_path / "missing" / "run.pftrace")
