"""Grammars in the form that llguidance reads: a JSON list of named grammars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llguidance import LLMatcher

from headrace.engine.choice.choice import Grammar, Reasoning
from headrace.engine.choice.lark import parts, sequence, text_until
from headrace.engine.choice.schema import read_schema
from headrace.errors import RequestError

#: Characters of a grammar or a schema.
LONGEST = 256 << 10
#: Characters of a regular expression: each token is compared with all of it.
LONGEST_REGEX = 8 << 10

#: Between JSON's tokens: a space, or a new line with its indentation. More would let a small model
#: write spaces for ever.
WHITESPACE = r"\n[ \t]{0,32}| "


def grammar_list(grammar: Grammar, specials: Mapping[str, int]) -> list[dict[str, Any]]:
    """What llguidance compiles, the answer's own grammar last.

    specials: id of each special token by its text.

    Raises:
        RequestError: it is too long, or a schema is malformed or too large.
    """
    longest = LONGEST_REGEX if grammar.kind == "regex" else LONGEST
    if len(grammar.text) > longest:
        raise RequestError(
            f"the grammar has {len(grammar.text)} characters; at most {longest} are taken",
            where=f"grammar ({grammar.kind})",
        )
    answer = {**_answer(grammar), "name": "answer"}
    if grammar.reasoning is None:
        return [answer]
    return [{"lark_grammar": _reasoned(grammar.reasoning, specials)}, answer]


def schema_options(*, strict: bool) -> dict[str, object]:
    """How llguidance reads a schema, as its key `x-guidance`."""
    return {
        "item_separator": ",",
        "key_separator": ":",
        "whitespace_pattern": WHITESPACE,
        "lenient": not strict,
    }


def _answer(grammar: Grammar) -> dict[str, Any]:
    if grammar.kind == "json_object":
        return _json({"type": "object"}, strict=True)
    if grammar.kind == "json_schema":
        return _json(read_schema(grammar.text), strict=grammar.strict)
    if grammar.kind == "regex":
        return json.loads(LLMatcher.grammar_from_regex(grammar.text))["grammars"][0]
    return {"lark_grammar": grammar.text}


def _json(schema: dict[str, object], *, strict: bool) -> dict[str, Any]:
    return {"json_schema": {**schema, "x-guidance": schema_options(strict=strict)}}


def _reasoned(reasoning: Reasoning, specials: Mapping[str, int]) -> str:
    begin = "" if reasoning.opened else sequence(parts(reasoning.begin, specials))
    head, rest = text_until("head", parts(reasoning.end, specials))
    return "\n".join([f"start: {begin} head {sequence(rest)} /\\n{{0,2}}/ @answer", *head])
