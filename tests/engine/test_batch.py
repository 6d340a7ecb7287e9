"""Many answers at once: each is what it is alone, and whoever waits comes in as soon as it can."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.api import Model
from headrace.engine.engine import Engine
from headrace.engine.request import Request
from headrace.errors import ContextLengthError, RequestError

PROMPTS = [[5, 17, 200, 3, 44], [9], list(range(1, 90)), [7, 7, 7], list(range(40, 240)), [100, 2]]
WARM = [Request(20 + index, temperature=1.0, seed=index) for index in range(len(PROMPTS))]


@pytest.fixture
def engine(model: Model) -> Engine:
    return Engine(model.program)


def alone(engine: Engine, prompts: list[list[int]], requests: list[Request]) -> list[list[int]]:
    return [list(engine.generate(*each)) for each in zip(prompts, requests, strict=True)]


def test_answers_are_those_of_prompts_alone(engine: Engine) -> None:
    batch = engine.generate_batch(PROMPTS, WARM)
    assert batch.collect() == alone(engine, PROMPTS, WARM)
    assert [each.finish_reason for each in batch.outcomes] == ["length"] * len(PROMPTS)
    assert [each.statistics.prompt_tokens for each in batch.outcomes] == list(map(len, PROMPTS))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_company_and_order_make_no_difference(model: Model, seed: int) -> None:
    engine, rng = Engine(model.program, stops=[11, 12, 13]), np.random.default_rng(seed)
    count = int(rng.integers(2, 12))
    prompts = [rng.integers(0, 250, rng.integers(1, 150)).tolist() for _ in range(count)]
    requests = [
        Request(int(rng.integers(1, 60)), float(rng.integers(0, 2)), seed=int(rng.integers(0, 9)))
        for _ in range(count)
    ]
    expected = alone(engine, prompts, requests)
    order = rng.permutation(count)
    found = engine.generate_batch([prompts[i] for i in order], [requests[i] for i in order])
    assert found.collect() == [expected[i] for i in order]


def test_more_prompts_than_fit_at_once(model: Model, engine: Engine) -> None:
    # 200 sequences: more than there are slots, and more entries than the KV cache has.
    prompts = [[index, 3] for index in range(200)]
    request = Request(max_tokens=5)
    assert 200 > 64
    found = engine.generate_batch(prompts, request).collect()
    assert found[:3] + found[-3:] == alone(engine, prompts[:3] + prompts[-3:], [request] * 6)
    assert all(len(answer) == 5 for answer in found)


def test_long_answers_wait_for_room_in_the_cache(model: Model, engine: Engine) -> None:
    prompts = [[index] for index in range(6)]
    request = Request(max_tokens=model.context)
    assert model.program.storage.blocks * 64 < 6 * model.context
    batch = engine.generate_batch(prompts, request)
    assert [len(answer) for answer in batch.collect()] == [model.context] * 6


def test_closing_a_batch_stops_all(model: Model, engine: Engine) -> None:
    batch = engine.generate_batch(PROMPTS, Request(max_tokens=400))
    next(batch)
    batch.close()
    assert model.program.finished
    assert {each.finish_reason for each in batch.outcomes} == {"cancelled"}
    assert list(engine.generate([1], Request(3)))


def test_texts(model: Model) -> None:
    texts = ["Hello", "one two three"]
    batch = model.generate_batch(texts, max_tokens=12).collect()
    singly = ["".join(model.generate(text, max_tokens=12)) for text in texts]
    assert ["".join(pieces) for pieces in batch] == singly


def test_no_prompts_are_no_answers(engine: Engine) -> None:
    assert engine.generate_batch([], Request()).collect() == []


def test_what_is_wrong_is_named(model: Model, engine: Engine) -> None:
    with pytest.raises(RequestError, match=r"prompts\[1\]"):
        engine.generate_batch([[1], []], Request())
    with pytest.raises(ContextLengthError, match=r"prompts\[0\]"):
        engine.generate_batch([[1] * (model.context + 1)], Request())
    with pytest.raises(RequestError, match="2 prompts have 1 requests"):
        engine.generate_batch([[1], [2]], [Request()])
