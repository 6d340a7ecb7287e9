"""Shared blocks, blocks given away, neighbours that vanish: answers keep their bits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.api import Model, load
from headrace.engine.job import Job
from tests.engine.serving import job, serving
from tests.engine.test_service import alone, some_jobs

CONTEXT = 512


@pytest.fixture(scope="module")
def small(tiny: Path, cache_root: Path) -> Iterator[Model]:
    """A KV cache that holds one context and a quarter."""
    with load(tiny, threads=2, context=CONTEXT, kv_tokens=CONTEXT + 128) as loaded:
        yield loaded


def chats(count: int, seed: int) -> list[Job]:
    """Jobs of which many begin with the same tokens."""
    rng = np.random.default_rng(seed)
    system = rng.integers(0, 250, 150).tolist()
    return [
        job(
            f"{index}",
            system[: int(rng.integers(60, 151))] + rng.integers(0, 250, 20).tolist(),
            int(rng.integers(10, 120)),
            seed=index if index % 2 else None,
        )
        for index in range(count)
    ]


def test_the_next_turn_of_a_chat_is_read_from_the_cache(model: Model) -> None:
    first = job("first", list(range(100)), 100, seed=3)
    answer = alone(model, first)
    second = job("second", first.tokens + answer + [1, 2, 3], 50, seed=4)
    expected = alone(model, second)
    with serving(model) as (service, answers):
        service.submit(first)
        assert answers.answer("first") == answer
        service.submit(second)
        assert answers.answer("second") == expected
        assert answers.ended("second").usage.cached_tokens == 192  # of 203, in blocks of 64
        stats = service.stats()
        assert (stats.prefix_queries, stats.prefix_hits) == (100 + 203, 192)
        assert stats.blocks_cached == 3  # of 252 entries


def test_prompts_that_begin_the_same_are_computed_once(model: Model) -> None:
    system = np.random.default_rng(0).integers(0, 250, 150).tolist()
    jobs = [job(f"{index}", [*system, index], 40) for index in range(10)]
    expected = [alone(model, each) for each in jobs]
    with serving(model) as (service, answers):
        for each in jobs:
            service.submit(each)
        assert [answers.answer(each.id) for each in jobs] == expected
        assert service.stats().prefix_hits == 9 * 128


def test_answers_survive_that_blocks_run_out(small: Model) -> None:
    jobs = [
        job(f"{index}", [index, 7], 300 + 10 * index, seed=index if index % 2 else None)
        for index in range(6)
    ]
    expected = [alone(small, each) for each in jobs]
    with serving(small) as (service, answers):
        for each in jobs:
            service.submit(each)
        assert [answers.answer(each.id) for each in jobs] == expected
        preemptions = service.stats().preemptions
        assert preemptions > 0
        usages = [answers.ended(each.id).usage for each in jobs]
        assert sum(each.preemptions for each in usages) == preemptions


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_work_in_a_small_cache(small: Model, seed: int) -> None:
    jobs = chats(8, seed)
    expected = [alone(small, each) for each in jobs]
    with serving(small, slots=seed % 7 + 2) as (service, answers):
        for each in jobs:
            service.submit(each)
        assert [answers.answer(each.id) for each in jobs] == expected


def test_cancelled_neighbours_leave_nothing_behind(small: Model) -> None:
    rng = np.random.default_rng(0)
    keepers = some_jobs(10, seed=5)
    expected = [alone(small, each) for each in keepers]
    with serving(small, queue=1000) as (service, answers):
        for index in range(200):
            if index % 20 == 0:
                service.submit(keepers[index // 20])
            service.submit(job(f"gone {index}", [index % 50] * int(rng.integers(1, 300)), 200))
            delay = float(rng.uniform(0, 0.02))
            threading.Timer(delay, service.cancel, [f"gone {index}"]).start()
        assert [answers.answer(each.id) for each in keepers] == expected
        for index in range(200):
            assert answers.ended(f"gone {index}").reason in ("cancelled", "length")
        assert service.stats().blocks_used == 0
