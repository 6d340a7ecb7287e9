"""Tokens of the engine become reasoning, content and calls, whatever events they come in."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.engine.job import Ended, EndReason, TokenLogprobs, Tokens, Usage
from headrace.server.reasoning import MARKS, ReasoningSplit
from headrace.server.streaming.answer import Answer, Reading
from headrace.server.streaming.turn import Collected
from headrace.server.tools.formats import HERMES
from headrace.server.tools.split import CallSplit
from headrace.text import Tokenizer
from tests.text.vocabularies import byte_level_metadata

TOKENIZER = Tokenizer.from_gguf(byte_level_metadata())
USAGE = Usage(3, 0, 9, 0.0, 0.1, 0.2, 0)
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": "水"}}\n</tool_call>'
TEXT = f"<think>\nHm, 水?\n</think>\n\nLet me see.\n{CALL}"


def reading(*stops: str) -> Reading:
    return Reading(
        text=TOKENIZER.stream,
        reasoning=partial(ReasoningSplit, MARKS[0]),
        calls=partial(CallSplit, HERMES, {"f"}),
        stops=stops,
    )


def answered(answer: Answer, text: str, sizes: list[int], reason: EndReason = "stop") -> Collected:
    """The answer to a text that comes in events of so many tokens, in turn."""
    ids = TOKENIZER.encode(text, bos=False)
    collected = Collected()
    turn = 0
    while ids and not answer.stopped:
        size = sizes[turn % len(sizes)]
        logprobs = [TokenLogprobs(each, -1.0, []) for each in ids[:size]]
        collected.add(answer.take(Tokens("a", ids[:size], logprobs)))
        ids, turn = ids[size:], turn + 1
    collected.add(answer.end(Ended("a", "cancelled" if answer.stopped else reason, None, USAGE)))
    return collected


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_reasoning_content_and_calls(sizes: list[int]) -> None:
    answer = Answer(reading())
    collected = answered(answer, TEXT, sizes)
    assert collected.reasoning == "Hm, 水?\n"
    assert collected.content == "Let me see."
    [call] = collected.calls
    assert (call.name, call.arguments) == ("f", '{"a": "水"}')
    assert collected.finish_reason == "tool_calls"
    assert answer.tokens == len(collected.logprobs) == len(TOKENIZER.encode(TEXT, bos=False))
    assert 0 < answer.reasoning_tokens < answer.tokens


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_a_stop_string_counts_in_content_only(sizes: list[int]) -> None:
    text = "<think>\nno END here\n</think>\n\nBut hERE it is, END, and on and on"
    answer = Answer(reading("END"))
    collected = answered(answer, text, sizes)
    assert collected.content == "But hERE it is, "
    assert collected.finish_reason == "stop"
    before = text[: text.rindex("END") + 3]
    assert answer.tokens <= len(TOKENIZER.encode(before, bos=False)) + 1
    assert len(collected.logprobs) == answer.tokens
    assert answer.usage == USAGE


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_what_was_held_back_comes_at_the_end(reason: EndReason) -> None:
    collected = answered(Answer(reading("END!")), "It is END", [1], reason)
    assert (collected.content, collected.finish_reason) == ("It is END", reason)


def test_a_call_that_was_cut_off_is_no_finished_call() -> None:
    collected = answered(Answer(reading()), CALL[:-20], [3], "length")
    [call] = collected.calls
    assert call.arguments == '{"a": "水"'[: len(call.arguments)]
    assert collected.finish_reason == "length"
