"""Requests on a real program: a tiny random model, compiled once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from headrace.api import Model
from headrace.engine.engine import Engine
from headrace.engine.request import Request
from headrace.errors import ContextLengthError, RequestError
from headrace.runtime.schedule import MAX_STEPS, Schedule

PROMPT = [5, 17, 200, 3, 44]


@pytest.fixture
def engine(model: Model) -> Engine:
    """Without stop tokens: answers have the length asked for."""
    return Engine(model.program)


def greedy(model: Model, prompt: list[int], count: int) -> list[int]:
    """Greedy decoding by asking for all logits again at each token."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model.logits(ids)[-1].argmax()))
    return ids[len(prompt) :]


def test_greedy_tokens_are_the_likeliest(model: Model, engine: Engine) -> None:
    answer = engine.generate(PROMPT, Request(max_tokens=45))
    assert list(answer) == greedy(model, PROMPT, 45)
    assert answer.finish_reason == "length"


def test_statistics(engine: Engine) -> None:
    answer = engine.generate(PROMPT, Request(max_tokens=80))
    assert answer.finish_reason is None
    assert len(list(answer)) == 80
    found = answer.statistics
    assert found.prompt_tokens == 5
    assert found.generated_tokens == 80
    assert found.host_calls == 4  # schedules of 8, 32, 32 and 8 steps
    assert found.prefill_seconds > 0
    assert found.decode_tokens <= 80


@pytest.mark.parametrize("length", [1, 31, 256, 257, 700])
def test_long_prompts_are_fed_in_chunks(model: Model, engine: Engine, length: int) -> None:
    prompt = [token % 250 for token in range(1, length + 1)]
    first = next(engine.generate(prompt, Request(max_tokens=1)))
    assert first == int(model.logits(prompt)[-1].argmax())


def test_logits_do_not_depend_on_what_ran_before(model: Model) -> None:
    ids = [token % 250 for token in range(70)]
    before = model.logits(ids)
    list(model.generate(PROMPT, max_tokens=3))
    assert before.shape == (70, model.vocabulary)
    assert before.dtype == np.float32
    assert np.array_equal(before, model.logits(ids))
    assert np.allclose(before[:40], model.logits(ids[:40]), atol=1e-5)


def test_a_stop_token_ends_the_answer_and_is_left_out(model: Model, engine: Engine) -> None:
    whole = list(engine.generate(PROMPT, Request(max_tokens=60)))
    stop = whole[20]
    at = whole.index(stop)
    answer = Engine(model.program, [stop]).generate(PROMPT, Request(max_tokens=60))
    assert list(answer) == whole[:at]
    assert answer.finish_reason == "stop"
    assert answer.statistics.generated_tokens == at


def test_the_context_ends_an_answer(model: Model, engine: Engine) -> None:
    prompt = [7] * (model.context - 10)
    answer = engine.generate(prompt, Request(max_tokens=100))
    assert len(list(answer)) == 11  # the last token needs no place in the cache
    assert answer.finish_reason == "length"


def test_a_prompt_may_fill_the_context(model: Model, engine: Engine) -> None:
    assert len(list(engine.generate([7] * model.context, Request(max_tokens=5)))) == 1


def test_a_longer_prompt_is_refused(model: Model, engine: Engine) -> None:
    with pytest.raises(ContextLengthError, match=rf"{model.context + 1} .*{model.context}"):
        engine.generate([7] * (model.context + 1), Request())


def test_closing_stops_and_frees_the_model(model: Model, engine: Engine) -> None:
    answer = engine.generate(PROMPT, Request(max_tokens=4000))
    start = list(itertools.islice(answer, 3))
    answer.close()
    assert answer.finish_reason == "cancelled"
    assert list(answer) == []
    assert model.program.finished
    assert list(engine.generate(PROMPT, Request(max_tokens=3))) == start


def test_a_request_ends_what_a_second_interrupt_left_running(model: Model, engine: Engine) -> None:
    expected = list(engine.generate(PROMPT, Request(max_tokens=3)))
    tokens, last = np.array(PROMPT, np.int32), np.array([len(PROMPT) - 1], np.int32)
    model.program.submit(Schedule.of(tokens, 0, last, MAX_STEPS))
    assert not model.program.finished
    assert list(engine.generate(PROMPT, Request(max_tokens=3))) == expected


def test_a_dropped_answer_is_closed(engine: Engine) -> None:
    first = next(engine.generate(PROMPT, Request(max_tokens=4000)))
    assert next(engine.generate(PROMPT, Request(max_tokens=4000))) == first


def test_a_second_request_at_once_is_refused(engine: Engine) -> None:
    answer: Iterator[int] = engine.generate(PROMPT, Request(max_tokens=4000))
    next(answer)
    with pytest.raises(RequestError, match="busy"):
        next(engine.generate(PROMPT, Request()))
    with pytest.raises(RequestError, match="busy"):
        engine.logits(PROMPT)


def test_an_error_in_the_reader_stops_the_generation(model: Model, engine: Engine) -> None:
    def read() -> None:
        with engine.generate(PROMPT, Request()) as answer:
            raise ArithmeticError(next(answer))

    with pytest.raises(ArithmeticError):
        read()
    assert model.program.finished


def test_the_same_seed_draws_the_same_tokens(engine: Engine) -> None:
    def drawn(seed: int | None) -> list[int]:
        return list(engine.generate(PROMPT, Request(60, temperature=1.0, seed=seed)))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(-5) == drawn(-5)
    assert drawn(None) != drawn(None)


def test_one_token_to_draw_from_is_greedy(engine: Engine) -> None:
    likeliest = list(engine.generate(PROMPT, Request(20)))
    for choice in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        assert list(engine.generate(PROMPT, Request(20, 1.0, seed=3, **choice))) == likeliest
