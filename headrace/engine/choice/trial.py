"""A process that tries to compile grammars: one JSON request a line in, one JSON reply a line out.

Grammars come from clients. Some take minutes and gigabytes to compile, and only a process can be
ended: this file is run as one (`trial_process`), by itself, and imports nothing of headrace.

A request is {"grammars", "specials", "size", "limits"}: what llguidance reads, the ids of special
tokens by their text, and how many tokens there are. A reply is {"error", "place"}: the compiler's
message or null; place: a JSON pointer to the schema at fault, or null.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

#: Keywords of a schema whose values are schemas under names, lists of schemas, or schemas.
NAMED = ("$defs", "definitions", "properties", "patternProperties")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
ONE = ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else")
#: What a part needs of the whole.
SHARED = ("$defs", "definitions", "x-guidance")


class Bytes:
    """A vocabulary of special tokens, single bytes and nothing else, as llguidance reads it."""

    def __init__(self, specials: dict[str, int], size: int) -> None:
        self.tokens = [b""] * max(size, 257 + max(specials.values(), default=0))
        for text, token in specials.items():
            self.tokens[token] = text.encode()
        self._free = [token for token, text in enumerate(self.tokens) if not text][:256]
        for byte, token in enumerate(self._free):
            self.tokens[token] = bytes([byte])
        self.special_token_ids = sorted(specials.values())
        self.eos_token_id = next(iter(self.special_token_ids), len(self.tokens) - 1)
        self.bos_token_id = None

    def __call__(self, text: bytes) -> list[int]:
        return [self._free[byte] for byte in text]


def serve(memory: int) -> None:
    """Answer requests until the input ends, with an address space of `memory` bytes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)  # the model's workers go first
    tokenizers: dict[str, LLTokenizer] = {}
    for line in sys.stdin.buffer:
        request = json.loads(line)
        key = json.dumps([request["specials"], request["size"]])
        if key not in tokenizers:
            vocabulary = Bytes(request["specials"], request["size"])
            tokenizers = {key: LLTokenizer(TokenizerWrapper(vocabulary))}
        reply = _tried(request["grammars"], tokenizers[key], LLParserLimits(**request["limits"]))
        sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
        sys.stdout.buffer.flush()


def _tried(
    grammars: list[dict[str, Any]], tokenizer: LLTokenizer, limits: LLParserLimits
) -> dict[str, str | None]:
    def error_of(each: list[dict[str, Any]]) -> str:
        text = json.dumps({"grammars": each})
        return LLMatcher(tokenizer, text, log_level=0, limits=limits).get_error()

    error = error_of(grammars)
    schema: dict[str, Any] | None = grammars[-1].get("json_schema")
    if not error or schema is None:
        return {"error": error or None, "place": None}
    shared = {key: schema[key] for key in SHARED if key in schema}
    return {
        "error": error,
        "place": _place(schema, lambda part: error_of([{"json_schema": shared | part}]) == error),
    }


def _place(schema: dict[str, Any], fails: Callable[[dict[str, Any]], bool]) -> str:
    """Where the innermost schema is that fails by itself."""
    for place, part in _parts(schema):
        if fails(part):
            return place + _place(part, fails)
    return ""


def _parts(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas directly within one, with their places."""
    found: list[tuple[str, object]] = []
    for key in NAMED:
        named: object = schema.get(key)
        if isinstance(named, dict):
            parts = cast("dict[str, object]", named).items()
            found += [(f"/{key}/{_escaped(name)}", part) for name, part in parts]
    for key in LISTS:
        listed: object = schema.get(key)
        if isinstance(listed, list):
            members = enumerate(cast("list[object]", listed))
            found += [(f"/{key}/{at}", part) for at, part in members]
    found += [(f"/{key}", schema.get(key)) for key in ONE]
    return ((at, cast("dict[str, Any]", part)) for at, part in found if isinstance(part, dict))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
