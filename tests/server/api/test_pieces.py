"""Text that comes in pieces: stop strings, reasoning and calls do not depend on where it is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.server.reasoning import MARKS, ReasoningSplit, marks_of
from headrace.server.stops import StopStrings
from headrace.server.tools.formats import FORMATS, HERMES, ToolFormat
from headrace.server.tools.split import CallSplit

LETTERS = st.text("ab<{} \n", max_size=40)
CUTS = st.lists(st.integers(1, 5), min_size=1, max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\{}[]<', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xy", max_size=3), inner),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text('ab"', max_size=3), VALUES, max_size=3)
CALLS = st.lists(st.tuples(st.sampled_from(("f", "get.g")), ARGUMENTS), min_size=1, max_size=3)


def cut(text: str, cuts: Sequence[int]) -> list[str]:
    """The text in pieces of these lengths, in turn."""
    pieces: list[str] = []
    at = turn = 0
    while at < len(text):
        pieces.append(text[at : at + cuts[turn % len(cuts)]])
        at += cuts[turn % len(cuts)]
        turn += 1
    return pieces


@given(LETTERS, st.lists(st.text("ab<", min_size=1, max_size=4), max_size=3), CUTS)
def test_stop_strings(text: str, stops: list[str], cuts: list[int]) -> None:
    watch = StopStrings(stops)
    given = "".join([*map(watch.push, cut(text, cuts)), watch.flush()])
    found = [text.find(stop) for stop in stops if stop in text]
    assert watch.met == bool(found)
    if not watch.met:
        assert given == text
        return
    assert text.startswith(given)
    assert not any(stop in given for stop in stops)
    assert any(text.startswith(stop, len(given)) for stop in stops)


def test_what_may_begin_a_stop_string_is_held_back() -> None:
    watch = StopStrings(["END"])
    assert [watch.push(each) for each in ("a E", "N", "x", " EN", "D more")] == [
        "a ",
        "",
        "ENx",
        " ",
        "",
    ]
    assert watch.met
    assert watch.push("more") == watch.flush() == ""


def reasoned(split: ReasoningSplit, pieces: Sequence[str]) -> tuple[str, str]:
    pairs = [*map(split.push, pieces), split.flush()]
    return "".join(each for each, _ in pairs), "".join(each for _, each in pairs)


@pytest.mark.parametrize("marks", MARKS)
@settings(max_examples=30)
@given(cuts=CUTS, opened=st.booleans())
def test_reasoning(marks: Any, cuts: list[int], opened: bool) -> None:
    text = f"{'' if opened else marks.opening}\nAre a < b?\n{marks.closing}\n\nYes <b>.\n"
    split = ReasoningSplit(marks, inside=opened)
    reasoning, content = reasoned(split, cut(text, cuts))
    assert (reasoning.strip(), content) == ("Are a < b?", "Yes <b>.\n")


@given(LETTERS, CUTS)
def test_without_an_opening_mark_all_is_content(text: str, cuts: list[int]) -> None:
    assert reasoned(ReasoningSplit(MARKS[0]), cut(text, cuts)) == ("", text)


def test_marks_are_found_in_templates() -> None:
    assert marks_of("{{ '<think>\\n' }}...{{ '</think>' }}") == MARKS[0]
    assert marks_of("{{ 'I <think>' }}") is None


def written(form: ToolFormat, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Calls as a model writes them."""
    syntax = form.syntax
    each: list[str] = []
    for name, arguments in calls:
        if form.named:
            begin = syntax.begin.replace("{name}", name)
            each.append(begin + json.dumps(arguments) + syntax.end)
        else:
            body = json.dumps({syntax.name_key: name, syntax.arguments_key: arguments})
            each.append(body if syntax.is_list else syntax.begin + body + syntax.end)
    joined = f"[{', '.join(each)}]" if syntax.is_list else syntax.separator.join(each)
    return syntax.opening + joined + syntax.closing


def split_calls(form: ToolFormat, pieces: Sequence[str]) -> tuple[str, list[tuple[str, Any]]]:
    split = CallSplit(form, {"f", "get.g"})
    text, names, arguments = "", list[str](), list[str]()
    for found in [*map(split.push, pieces), split.flush()]:
        for piece in found:
            if isinstance(piece, str):
                text += piece
                continue
            if piece.name is not None:
                assert piece.index == len(names)
                assert piece.id is not None
                names.append(piece.name)
                arguments.append("")
            arguments[piece.index] += piece.arguments
    assert split.calls == len(names)
    return text, [(name, json.loads(each)) for name, each in zip(names, arguments, strict=True)]


@pytest.mark.parametrize("form", FORMATS, ids=[each.name for each in FORMATS])
@settings(max_examples=30)
@given(calls=CALLS, before=st.sampled_from(("", "Let me look.", "a < b")), cuts=CUTS)
def test_calls(form: ToolFormat, calls: Any, before: str, cuts: list[int]) -> None:
    before = before if form.opening else ""
    answer = before + ("\n" if before else "") + written(form, calls)
    assert split_calls(form, cut(answer, cuts)) == (before, calls)


@settings(max_examples=30)
@given(cuts=CUTS)
@pytest.mark.parametrize(
    "text",
    [
        'a <tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call> b',
        "what is <tool_call> for?",
        '<tool_call>{"name": 3}</tool_call>',
        "<tool",
    ],
)
def test_what_is_no_call_is_text(text: str, cuts: list[int]) -> None:
    assert split_calls(HERMES, cut(text, cuts)) == (text, [])


def test_keys_may_stand_in_another_order() -> None:
    text = '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>'
    assert split_calls(HERMES, [text]) == ("", [("f", {"a": 1})])


def test_arguments_are_given_out_as_they_come() -> None:
    split = CallSplit(HERMES, {"f"})
    start = '<tool_call>{"name": "f", "arguments": {"a"'
    found = [split.push(each) for each in (start, ': "}', '"}', "}")]
    given = [[each if isinstance(each, str) else each.arguments for each in some] for some in found]
    assert given == [["", '{"a"'], [': "}'], ['"}'], []]
