"""Grammars of answers that call tools.

An answer is text, or text and calls, or calls only. Arguments follow the tool's JSON schema, so
that they always parse. After the calls nothing but the end may follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from headrace.engine.choice.choice import Grammar
from headrace.engine.choice.grammar_text import schema_options
from headrace.engine.choice.lark import ANYTHING, Part, parts, sequence, text_until
from headrace.engine.choice.schema import checked_schema, moved
from headrace.errors import RequestError

NAME = "{name}"

#: Keywords that may name properties beside `properties`.
_ELSEWHERE = frozenset(("allOf", "anyOf", "oneOf", "$ref", "patternProperties"))

Mode = Literal["auto", "required"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called.

    parameters: JSON schema of its arguments; None takes any object.
    strict: whether a keyword of the schema that cannot be enforced is an error.
    where: what errors call its schema.
    """

    name: str
    parameters: Mapping[str, object] | None = None
    strict: bool = False
    where: str = "tools"


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """How a model writes calls.

    begin, end: before and after each call, special tokens and text. If `{name}` is in `begin`, the
        name stands there and the call is the arguments' JSON; else it is a JSON object of both.
    opening, closing: around all calls. separator: between two.
    name_key, arguments_key: keys of that JSON object.
    is_list: the calls are one JSON list, between `opening` and `closing`.
    """

    begin: str = ""
    end: str = ""
    separator: str = ""
    opening: str = ""
    closing: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"
    is_list: bool = False


def tool_grammar(
    tools: Sequence[Tool],
    syntax: CallSyntax,
    specials: Mapping[str, int],
    *,
    mode: Mode = "auto",
    parallel: bool = True,
) -> Grammar:
    """The grammar of an answer that may (`auto`) or must (`required`) call some of the tools.

    To make it call one tool, give that one alone.

    Args:
        specials: id of each special token by its text (`Tokenizer.specials`).
        parallel: whether there may be several calls.

    Raises:
        RequestError: there are no tools, or a schema is malformed; `where` is its place.
    """
    if not tools:
        raise RequestError("there is no tool to call", where="tools")
    lines = [f"call{index}: {_call(tool, syntax, specials)}" for index, tool in enumerate(tools)]
    lines.append("call: " + " | ".join(f"call{index}" for index in range(len(tools))))
    if syntax.is_list:
        lead = parts(syntax.opening, specials)
        tail = _listed(parallel)
    else:
        prefix = parts(syntax.begin.split(NAME)[0], specials)
        lead = [*parts(syntax.opening, specials), *prefix]
        tail = _repeated(parts(syntax.separator, specials) + prefix, parallel)
    close = sequence(parts(syntax.closing, specials))
    if mode == "auto":
        lines += _optional(lead, f"{tail} {close}")
    else:
        lines.append(f"start: {sequence(lead)} {tail} {close}")
    return Grammar("lark", "\n".join(reversed(lines)))


def _optional(lead: Sequence[Part], tail: str) -> list[str]:
    """Text, or calls after text; without a marker a call is told by its brace."""
    if not lead:
        return [r"text: /(\s*[^{\[\s](.|\n)*)?/", f"start: text | {tail}"]
    head, rest = text_until("head", lead)
    return [*head, f"text: {ANYTHING}", f"start: text | head {sequence(rest)} {tail}"]


def _repeated(between: Sequence[Part], parallel: bool) -> str:
    return f"call ({sequence(between)} call)*" if parallel else "call"


def _listed(parallel: bool) -> str:
    return r'"[" call (/,[ \n]?/ call)* "]"' if parallel else '"[" call "]"'


def _call(tool: Tool, syntax: CallSyntax, specials: Mapping[str, int]) -> str:
    """A call from behind the marker to its end."""
    arguments = _arguments(tool)
    if NAME in syntax.begin and not syntax.is_list:
        _, behind = syntax.begin.split(NAME, 1)
        lead = parts(tool.name + behind, specials)
        schema = arguments
    else:
        lead = []
        schema = {
            "type": "object",
            "properties": {
                syntax.name_key: {"const": tool.name},
                syntax.arguments_key: moved(arguments, f"/properties/{syntax.arguments_key}"),
            },
            "required": [syntax.name_key, syntax.arguments_key],
            "additionalProperties": False,
        }
    schema = {**schema, "x-guidance": schema_options(strict=tool.strict)}
    end = [] if syntax.is_list else parts(syntax.end, specials)
    return f"{sequence(lead)} %json {json.dumps(schema)} {sequence(end)}"


def _arguments(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments: an object of the properties that it names."""
    schema = checked_schema(dict(tool.parameters or {}), tool.where)
    schema.setdefault("type", "object")
    if cast("object", schema.get("properties")) and not _ELSEWHERE.intersection(schema):
        schema.setdefault("additionalProperties", False)
    return schema
