"""Grammars in the form that llguidance reads."""

from __future__ import annotations

import json

from llguidance import LLMatcher

from headrace.engine.choice.choice import Grammar
from headrace.engine.choice.schema import read_schema
from headrace.errors import RequestError

#: Characters of a grammar or a schema.
LONGEST = 256 << 10

#: Between JSON's tokens: a space, or a new line with its indentation. More would let a small model
#: write spaces for ever.
WHITESPACE = r"\n[ \t]{0,32}| "


def grammar_text(grammar: Grammar) -> str:
    """What llguidance compiles.

    Raises:
        RequestError: it is too long, or a schema is malformed or too large.
    """
    if len(grammar.text) > LONGEST:
        raise RequestError(
            f"the grammar has {len(grammar.text)} characters; at most {LONGEST} are taken",
            where=f"grammar ({grammar.kind})",
        )
    if grammar.kind == "json_object":
        return _json({"type": "object"}, strict=True)
    if grammar.kind == "json_schema":
        return _json(read_schema(grammar.text), strict=grammar.strict)
    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.text)
    return LLMatcher.grammar_from_lark(grammar.text)


def schema_options(*, strict: bool) -> dict[str, object]:
    """How llguidance reads a schema, as its key `x-guidance`."""
    return {
        "item_separator": ",",
        "key_separator": ":",
        "whitespace_pattern": WHITESPACE,
        "lenient": not strict,
    }


def _json(schema: dict[str, object], *, strict: bool) -> str:
    text = json.dumps({**schema, "x-guidance": schema_options(strict=strict)})
    try:
        return LLMatcher.grammar_from_json_schema(text)
    except ValueError as error:  # Python's JSON allows what no JSON has: NaN, lone surrogates
        raise RequestError(f"the schema is not valid JSON: {error}", where="schema") from error
