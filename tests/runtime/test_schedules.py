"""Schedules: what they generate, when they end, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.errors import ContextLengthError, MachineError, RequestError
from headrace.runtime.program import DEFAULT_CONTEXT, Program
from headrace.runtime.schedule import MAX_STEPS, Sampling, Schedule, Segment
from tests.runtime.driving import generate, ids, indices, logits, poll, run
from tests.runtime.programs import Case, built

CASE = Case("tiny-llama@f32", 2)
VOCABULARY = 384
CONTEXT = 100
PROMPT = ids(10, VOCABULARY)
WARM = Sampling(temperature=1.0, seed=7)


@pytest.fixture
def program() -> Generator[Program]:
    with built(CASE).open(context=CONTEXT) as opened:
        yield opened


def test_greedy_tokens_have_the_largest_logits(program: Program) -> None:
    tokens = generate(program, PROMPT, 20)
    assert len(tokens) == 20
    fed = np.concatenate([PROMPT, np.array(tokens[:-1], np.int32)])
    rows = logits(program, fed, [29])
    assert rows[9:].argmax(axis=1).tolist() == tokens


@pytest.mark.parametrize("sampling", [Sampling(), WARM], ids=["greedy", "warm"])
def test_one_schedule_gives_what_many_give(program: Program, sampling: Sampling) -> None:
    whole = generate(program, PROMPT, 24, sampling)
    calls = program.host_calls
    tokens = generate(program, PROMPT, 1, sampling)
    for position in range(10, 33):
        last = np.array(tokens[-1:], np.int32)
        tokens += run(program, Schedule.of(last, position, indices([0]), 1, sampling))
    assert tokens == whole
    assert program.host_calls == calls + 24


def test_a_prompt_in_chunks_gives_the_same_tokens(program: Program) -> None:
    whole = generate(program, PROMPT, 8)
    assert run(program, Schedule.of(PROMPT[:6], 0, indices([]))) == []
    assert run(program, Schedule.of(PROMPT[6:], 6, indices([3]), 8)) == whole


def test_the_same_seed_gives_the_same_tokens(program: Program) -> None:
    first, again = (generate(program, PROMPT, 30, WARM) for _ in range(2))
    other = generate(program, PROMPT, 30, replace(WARM, seed=8))
    assert first == again != other


def test_a_stop_token_ends_and_is_given(program: Program) -> None:
    whole = generate(program, PROMPT, 40, WARM)
    stop = whole[7]
    end = whole.index(stop) + 1
    stops = (VOCABULARY - 1 if stop != VOCABULARY - 1 else 0, stop)
    expected = whole[: min(whole.index(each) + 1 for each in stops if each in whole)]
    assert generate(program, PROMPT, 40, WARM, stops) == expected
    assert len(expected) <= end


def test_the_context_is_filled_to_its_end(program: Program) -> None:
    # The last token is sampled at the last position; it has no place in the cache any more.
    assert len(generate(program, PROMPT, 1000)) == CONTEXT - len(PROMPT) + 1
    last = ids(1, VOCABULARY)
    assert len(run(program, Schedule.of(last, CONTEXT - 1, indices([0]), 5))) == 1
    assert len(run(program, Schedule.of(last, CONTEXT - 2, indices([0]), 5))) == 2
    with pytest.raises(ContextLengthError, match=f"context of {CONTEXT}"):
        program.submit(Schedule.of(last, CONTEXT, indices([0]), 5))


def test_tokens_arrive_while_the_schedule_runs() -> None:
    with built(CASE).open(context=512) as program:
        for _ in range(20):  # on a busy machine this thread may sleep through a schedule
            program.submit(Schedule.of(PROMPT, 0, indices([9]), 500, WARM))
            parts: list[list[int]] = []
            while not program.wait(0.0005):
                parts.append(poll(program))
            parts.append(poll(program))
            assert sum(map(len, parts)) == 500
            assert poll(program) == []
            if len([part for part in parts if part]) > 2:
                return
        raise AssertionError("tokens came only at the end of 20 schedules")


def test_cancel_ends_after_the_current_step() -> None:
    with built(CASE).open(context=512) as program:
        program.submit(Schedule.of(PROMPT, 0, indices([9]), 500, WARM))
        while not poll(program):
            time.sleep(0.0002)
        program.cancel()
        assert program.wait(10)
        assert len(poll(program)) < 400
        # The next schedule is not cancelled.
        assert len(generate(program, PROMPT, 30)) == 30


def test_only_one_schedule_at_a_time() -> None:
    with built(CASE).open(context=512) as program:
        program.submit(Schedule.of(PROMPT, 0, indices([9]), 500, WARM))
        assert not program.wait(0)
        assert not program.finished
        for action in (lambda: generate(program, PROMPT, 1), lambda: program.sweep(1)):
            with pytest.raises(MachineError, match="still running"):
                action()
        assert program.wait(30)
        assert len(poll(program)) == 500
        assert program.finished


def test_wait_gives_up_after_its_time() -> None:
    with built(replace(CASE, workers=1)).open(context=512) as program:  # a core is left to us
        program.submit(Schedule.of(PROMPT, 0, indices([9]), 500, WARM))
        start = time.perf_counter()
        assert not program.wait(0.0002)
        assert time.perf_counter() - start >= 0.0002
        program.cancel()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no tokens": ({"tokens": ids(0, 5)}, "1 to 256 tokens, not 0"),
    "too many tokens": ({"tokens": ids(257, 5), "outputs": indices([])}, "256 tokens, not 257"),
    "negative token": ({"tokens": indices([1, -1])}, "token ids are 0 to 383"),
    "token beyond the vocabulary": ({"tokens": indices([1, 384])}, "token ids are 0 to 383"),
    "output beyond the tokens": ({"outputs": indices([2])}, "outputs are 0 to 1"),
    "negative output": ({"outputs": indices([-1])}, "outputs are 0 to 1"),
    "too many outputs": (
        {"tokens": ids(65, 5), "outputs": indices(range(65)), "steps": 0},
        "0 to 64 outputs, not 65",
    ),
    "steps without output": ({"outputs": indices([])}, "1 to 64 outputs, not 0"),
    "steps with two outputs": ({"outputs": indices([0, 1])}, "0 to 1 outputs of a sequence, not 2"),
    "too many steps": ({"steps": MAX_STEPS + 1}, f"{MAX_STEPS} steps"),
    "negative steps": ({"steps": -1}, "steps, not -1"),
    "too many stops": ({"stops": (1,) * 65}, "0 to 64 stops, not 65"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_out_of_range_is_refused(name: str) -> None:
    changes, message = BAD[name]
    good = {"tokens": indices([1, 2]), "start": 0, "outputs": indices([1]), "steps": 3}
    schedule = Schedule.of(**{**good, **changes})
    with built(CASE).open(context=512) as program:
        with pytest.raises(RequestError, match=message):
            program.submit(schedule)
        assert program.host_calls == 0


def test_slots_are_few_and_each_has_one_segment(program: Program) -> None:
    one = Segment(0, indices([1, 2]), 0, indices([1]))
    for others in ((one,), (replace(one, slot=64),), (replace(one, slot=-1),)):
        with pytest.raises(RequestError, match="slot"):
            program.submit(Schedule((one, *others), 1))


def test_blocks_of_a_slot_exist(program: Program) -> None:
    program.set_blocks(63, [1, 0])
    for slot, blocks in ((64, [0]), (-1, [0]), (1, [7]), (1, [-1]), (1, [0, 1, 0])):
        with pytest.raises(RequestError, match="block"):
            program.set_blocks(slot, blocks)


def test_positions_outside_of_the_context_are_refused(program: Program) -> None:
    for start in (-1, CONTEXT - len(PROMPT) + 1, 2**40):
        with pytest.raises(ContextLengthError, match="context"):
            program.submit(Schedule.of(PROMPT, start, indices([9])))


def test_a_context_must_be_the_models() -> None:
    for context in (0, -1, 513):
        with pytest.raises(ContextLengthError, match="512"):
            built(CASE).open(context=context)
    with built(CASE).open() as program:
        assert program.context == min(512, DEFAULT_CONTEXT)
