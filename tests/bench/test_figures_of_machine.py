"""What the cost model is told of this machine, measured for real."""

from __future__ import annotations

import os

import pytest

from headrace.bench.exchange import PIECE, exchange_seconds
from headrace.bench.rates import measured_rates
from headrace.build import Options
from headrace.checkpoint.progress import NoProgress

CPUS = sorted(os.sched_getaffinity(0))


@pytest.mark.skipif(len(CPUS) < 2, reason="one processor exchanges nothing")
def test_an_exchange_takes_longer_than_a_line_s_way() -> None:
    seconds = exchange_seconds(CPUS[:2], 64 * PIECE, repetitions=3)
    assert 10e-9 < seconds < 1  # another process may have the processor for a while


def test_one_worker_does_not_exchange() -> None:
    assert exchange_seconds(CPUS[:1], PIECE) == 0


def test_rates_are_those_of_cores(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        rates = measured_rates(["q4_0", "no such format"], Options(1), NoProgress())
    assert list(rates.products) == ["q4_0"]
    for rate in (rates.products["q4_0"], rates.attention, rates.rows):
        assert 1e6 < rate < 1e13
