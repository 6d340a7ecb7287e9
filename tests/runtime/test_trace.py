"""What workers record of their time, event by event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from headrace.codegen.compile import MAX_TOKENS
from headrace.codegen.record import RECORD, RECORDS, Other
from headrace.codegen.structure import Structure
from headrace.codegen.target import Target
from headrace.codegen.worker import WorkerCode
from headrace.errors import MachineError
from headrace.ir.dialect import parse_program
from headrace.ir.stages import stage_name
from headrace.passes.pipeline import map_program
from headrace.runtime.trace import Recording
from tests.runtime.driving import generate, ids
from tests.runtime.programs import Case, built, captured

MODEL = "tiny-llama@q4_0"
CASE = Case(MODEL, 2, trace=True)
PROMPT, STEPS = ids(10, 384), 6

#: Counts by which a processor may read its clock too early: before loads that it has not finished.
#: Both sides of an edge are on one clock, but the window of instructions is some hundreds of ns.
EARLY = 10_000


def mapped() -> Structure:
    module = parse_program(captured(MODEL).text)
    map_program(module, 2)
    return Structure(module)


@pytest.fixture(scope="module")
def recording() -> Recording:
    with built(CASE).open(context=128) as program:
        generate(program, PROMPT, STEPS)
        return program.recording()


def executions() -> Iterator[tuple[str, int]]:
    """The stages of one step with logits, and their trips, in order."""
    for section in mapped().sections:
        for trip in range(section.trips):
            for stage in section.stages:
                yield stage_name(stage), trip


def test_a_record_is_one_cache_line() -> None:
    assert RECORD.itemsize == 64


def test_every_execution_has_its_record_on_every_worker(recording: Recording) -> None:
    stages = built(CASE).manifest.stages
    one = [(stages.index(name), trip) for name, trip in executions()]
    assert {stages[index] for index, _ in one} == set(stages)
    for records in recording.workers:
        done = records[records["stage"] >= 0]
        found = list(zip(done["stage"].tolist(), done["trip"].tolist(), strict=True))
        assert found == one * STEPS
        assert done["tokens"].tolist() == [len(PROMPT)] * len(one) + [1] * len(one) * (STEPS - 1)
        assert np.count_nonzero(records["stage"] == Other.DECISION) == STEPS
        assert done["count"].tolist() == list(range(1, len(done) + 1))


def test_times_ascend(recording: Recording) -> None:
    for records in recording.workers:
        for before, each in pairwise(records):
            if each["stage"] >= 0:
                assert before["end"] <= each["ready"] <= each["end"]
                assert each["prefetching"] + each["asleep"] <= each["ready"] - before["end"]
            if each["entered"]:
                assert each["ready"] <= each["entered"] <= each["end"] - each["epilogue"]
            assert before["end"] <= each["end"]


def test_products_alone_have_parts(recording: Recording) -> None:
    structure = mapped()
    products = {
        index for index, stage in enumerate(structure.stages) if structure.stage_streams(stage)
    }
    for records in recording.workers:
        done = records[records["stage"] >= 0]
        assert set(done["stage"][done["entered"] != 0]) == products


def test_a_wait_ends_after_the_signal_that_it_was_for(recording: Recording) -> None:
    structure = mapped()
    names = built(CASE).manifest.stages
    signals = [
        {int(each["count"]): each for each in records if each["stage"] >= 0}
        for records in recording.workers
    ]
    waits = 0
    for records in recording.workers:
        for each in records[(records["last"] >= 0) & (records["stage"] >= 0)]:
            signal = signals[each["last"]][int(each["target"])]
            waited = structure.stages[each["stage"]].after
            assert waited is not None
            assert names[signal["stage"]] in {edge.stage_name for edge in waited.data}
            assert each["ready"] >= signal["end"] - EARLY
            waits += 1
    assert waits > 0


def test_the_clocks_meet(recording: Recording) -> None:
    """The host submits before the workers begin and waits until after they end."""
    submit = next(call for call in recording.host if call.name == "submit")
    wait = next(call for call in recording.host if call.name == "wait")
    for records in recording.workers:
        stages = np.flatnonzero(records["stage"] >= 0)
        first, last = recording.clock.ns(records["end"][[stages[0] - 1, stages[-1]]]).tolist()
        assert submit.begin_ns <= first <= last <= wait.end_ns


def test_the_clock_runs_as_the_host_s() -> None:
    with built(CASE).open(context=128) as program:
        generate(program, PROMPT, 2)
        begin = time.perf_counter_ns()
        time.sleep(0.1)
        between = time.perf_counter_ns() - begin
        generate(program, PROMPT, 2)
        recording = program.recording()
    idle = np.flatnonzero(recording.workers[0]["stage"] == Other.IDLE)[-1]
    ends = recording.clock.ns(recording.workers[0]["end"][idle - 1 : idle + 1])
    assert ends[1] - ends[0] >= between
    assert ends[1] - ends[0] < between + 50e6


def test_the_last_records_are_kept() -> None:
    with built(CASE).open(context=512) as program:
        for _ in range(3):
            generate(program, PROMPT, 500)
        recording = program.recording()
    for records in recording.workers:
        assert len(records) == RECORDS
        assert (np.diff(records["end"]) >= 0).all()
        assert records["count"][-1] == max(records["count"])


def test_without_a_trace_there_is_none_of_it() -> None:
    with built(Case(MODEL, 2)).open(context=128) as program:
        generate(program, PROMPT, 2)
        with pytest.raises(MachineError, match="without a trace"):
            program.recording()
    module = mapped().module
    plain = str(WorkerCode(module, Target.host(), MAX_TOKENS).build())
    traced = str(WorkerCode(module, Target.host(), MAX_TOKENS, trace=True).build())
    for word in ("readcyclecounter", "clock"):
        assert word not in plain
        assert word in traced
