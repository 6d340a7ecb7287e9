"""Grammars: what they allow, how they end, and what is wrong with those that are refused."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.engine.choice.choice import Choice, Grammar
from headrace.engine.choice.chooser import Chooser
from headrace.engine.choice.grammars import Grammars
from headrace.engine.choice.trial_process import Trial, TrialProcess
from headrace.errors import RequestError
from headrace.runtime.schedule import Sampling
from headrace.text import Tokenizer
from tests.engine.choice.vocabulary import (
    PADDED,
    STOP,
    follow,
    grammars,
    next_texts,
    takes,
    tokenizer,
)
from tests.text.vocabularies import sentencepiece_metadata


def schema(value: object, *, strict: bool = True) -> Grammar:
    return Grammar("json_schema", json.dumps(value), strict)


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("grammar", "right", "wrong"),
    [
        (schema(PERSON), '{"name": "Größe", "age": -3}', '{"name": "x", "age": 1.5}'),
        (schema(PERSON), '{\n  "name": "水"\n}', '{"name": "x",  "age": 1}'),
        (schema({"enum": ["a", 1, None]}), "null", '"b"'),
        (schema(True), "[1, {}]", "[1, {]"),
        (Grammar("json_object"), '{"a": {"b": [1]}}', "[1]"),
        (Grammar("regex", "(yes|no)/[0-9]{2}"), "yes/12", "yes/1x"),
        (Grammar("lark", 'start: A ("," A)*\nA: /[a-z]+/'), "ab,c", "ab,,c"),
        (Grammar("lark", f'start: "a" {STOP} "b"'), f"a{STOP}b", "a<|im_end|"),
    ],
    ids=str,
)
def test_an_answer_follows_its_grammar(grammar: Grammar, right: str, wrong: str) -> None:
    assert takes(grammar, right)
    assert not takes(grammar, wrong)


def test_where_an_answer_may_end_stop_tokens_may_follow() -> None:
    numbers = Grammar("regex", "[0-9]{1,3}")
    assert STOP not in next_texts(follow(numbers, "")[0])
    matcher, _ = follow(numbers, "12")
    assert matcher.accepting
    assert not matcher.finished
    assert STOP in next_texts(matcher)
    matcher, _ = follow(numbers, "123")
    assert matcher.finished
    assert next_texts(matcher) == {STOP, "<|endoftext|>"}


def test_tokens_beyond_the_vocabulary_never_follow() -> None:
    matcher, _ = follow(Grammar("regex", "(.|\n)*"), "")
    allowed = matcher.allowed()
    assert len(allowed) == PADDED
    assert not allowed[tokenizer().size :].any()


def test_matchers_of_one_grammar_go_their_own_ways() -> None:
    grammar = Grammar("regex", "ab|cd")
    first, _ = follow(grammar, "a")
    second, _ = follow(grammar, "")
    assert next_texts(first) == {"b"}
    assert "b" not in next_texts(second)


def test_many_threads_share_grammars() -> None:
    own = Grammars(tokenizer(), PADDED)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for each in range(number, number + 40):
                matcher = own.matcher(Grammar("regex", f"x{each % 50}"))
                assert matcher.allowed().any()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


scalars = st.sampled_from(
    [
        {"type": "string", "maxLength": 6},
        {"type": "string", "pattern": "^[a-z]{2,4}$"},
        {"type": "string", "format": "date"},
        {"type": "integer", "minimum": -5, "maximum": 1234},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "number", "multipleOf": 0.25},
        {"type": "boolean"},
        {"enum": ["a", "b\n", 3, None]},
        {"type": ["string", "null"], "maxLength": 3},
    ]
)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.sampled_from(["a", "b/c", "d e", "水"]), inner, max_size=3)
    return st.one_of(
        properties.map(
            lambda named: {
                "type": "object",
                "properties": named,
                "required": sorted(named)[:2],
                "additionalProperties": False,
            }
        ),
        inner.map(lambda item: {"type": "array", "items": item, "minItems": 1, "maxItems": 2}),
        st.tuples(inner, inner).map(lambda two: {"anyOf": list(two)}),
    )


@settings(max_examples=60)
@given(value=st.recursive(scalars, _objects, max_leaves=5), seed=st.integers(0, 2**32))
def test_whatever_is_drawn_under_a_schema_is_valid(value: Any, seed: int) -> None:
    """Random logits, so every token that the grammar allows is drawn sooner or later."""
    sampling = Sampling(temperature=1.0, seed=seed)
    chooser = Chooser(Choice(grammar=schema(value)), sampling, PADDED, grammars(), [])
    rng = np.random.default_rng(seed)
    tokens: list[int] = []
    for position in range(400):
        chosen = chooser.choose(rng.normal(0, 2, PADDED).astype(np.float32), position)
        if chosen.token in tokenizer().stop_ids:
            break
        tokens.append(chosen.token)
        if chosen.finished:
            break
    else:
        return  # a number may have any number of digits
    jsonschema_rs.validate(value, json.loads(tokenizer().decode(tokens)))


@pytest.mark.parametrize(
    ("grammar", "what", "where"),
    [
        (Grammar("json_schema", '{"type": '), "not valid JSON", "schema"),
        (Grammar("json_schema", "[]"), "JSON object", "schema"),
        (schema({"type": "strin"}), "strin", "schema#"),
        (
            schema({"properties": {"a/b": {"items": {"not": {}}}}}),
            "not",
            "schema#/properties/a~1b/items",
        ),
        (schema({"$defs": {"x": {"type": "y"}}, "$ref": "#/$defs/x"}), "y", "schema#/$defs/x"),
        (
            schema({"anyOf": [{"type": "null"}, {"pattern": "(?=a)"}]}),
            "look-around",
            "schema#/anyOf/1",
        ),
        (schema({"const": "x" * 5000}), "5000 characters", "schema#/const"),
        (schema({"properties": dict.fromkeys(map(str, range(501)))}), "501", "schema#/properties"),
        (schema({"enum": list(range(20_001))}), "20000 values", "schema#/enum/"),
        (schema({"allOf": [{"multipleOf": 9973}, {"multipleOf": 7}]}), "69811 states", "schema#/"),
        (Grammar("json_schema", '{"minimum": NaN}'), "expected value", "schema#"),
        (Grammar("regex", "(ab"), "unclosed group", "grammar"),
        (Grammar("regex", "a" * 9000), "9000 characters", "grammar (regex)"),
        (Grammar("lark", "start: nothing"), "nothing", "grammar"),
        (Grammar("lark", "start: <|nothing|>"), "nothing", "grammar"),
        (Grammar("lark", "x" * 300_000), "300000 characters", "grammar (lark)"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:40],
)
def test_errors_say_what_and_where(grammar: Grammar, what: str, where: str) -> None:
    with pytest.raises(RequestError, match=re.escape(what)) as caught:
        grammars().compile(grammar)
    assert str(caught.value.where).startswith(where)


def test_notes_for_the_reader_are_passed_over() -> None:
    noted = {"type": "string", "format": "int32", "description": "x" * 9000, "maxLength": 3}
    assert takes(schema({"items": noted, "type": "array"}), '["abc"]')
    named = {"type": "object", "properties": {"format": noted, "const": noted}}
    assert takes(schema(named), '{"format": "a", "const": "b"}')
    assert takes(schema({"const": {"format": "int32"}}), '{"format": "int32"}')
    loose = schema(
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, strict=False
    )
    assert takes(loose, "[1, 1]")


HOSTILE = "start: A\nA: " + " & ".join(f"/(a|b)*a(a|b){{{n}}}/" for n in range(5, 30))


def test_a_grammar_that_takes_too_long_is_refused_and_the_next_one_compiles() -> None:
    process = TrialProcess(seconds=0.5)
    good = [{"lark_grammar": 'start: "a"'}]
    for memory_or_time in (process, TrialProcess(memory=160 << 20)):
        with pytest.raises(RequestError, match="too much time or memory"):
            memory_or_time.check(Trial([{"lark_grammar": HOSTILE}], {}, 300, {}))
        memory_or_time.check(Trial(good, {}, 300, {}))
        memory_or_time.close()


def test_what_was_refused_is_refused_at_once() -> None:
    own = Grammars(tokenizer(), PADDED)
    for _ in range(2):
        began = time.perf_counter()
        with pytest.raises(RequestError, match="too much time or memory"):
            own.compile(Grammar("lark", HOSTILE))
        took = time.perf_counter() - began
    assert took < 0.5


def test_a_deep_schema_is_refused_at_once() -> None:
    text = '{"items":' * 100_000 + "{}" + "}" * 100_000
    with pytest.raises(RequestError):
        grammars().compile(Grammar("json_schema", text[: 1 << 17]))
    nested: dict[str, Any] = {}
    for _ in range(70):
        nested = {"items": nested}
    with pytest.raises(RequestError, match="64 levels"):
        grammars().compile(schema(nested))


@pytest.mark.parametrize("kind", ["pieces", "bytes"])
def test_sentencepiece_tokens_spell_answers(kind: str) -> None:
    """Bytes that have a piece too are spelled by either, but for what must follow anyway."""
    own = Tokenizer.from_gguf(sentencepiece_metadata())
    text = '"a water 水"'
    ids = own.encode(f"\n{text}", bos=False)[2:]  # the encoder puts a space before a text
    if kind == "bytes":
        bytes_of = {own.token_bytes(token): token for token in range(3, 259)}
        ids = [ids[0], *(bytes_of[bytes([byte])] for byte in text[1:].encode())]
    assert b"".join(map(own.token_bytes, ids)) == text.encode()
    matcher = Grammars(own, own.size + 7).matcher(schema({"type": "string"}))
    for token in ids:
        allowed = matcher.allowed()
        assert allowed[token]
        assert not allowed[own.size :].any()
        matcher.take(token)
    assert matcher.finished
