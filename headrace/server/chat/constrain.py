"""What an answer must be, as one grammar: reasoning first, then calls of tools or a given form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.engine.choice.choice import Grammar, Reasoning
from headrace.engine.choice.grammar_text import schema_options
from headrace.engine.choice.schema import read_schema
from headrace.engine.choice.tool_grammar import Mode, Tool, tool_grammar
from headrace.errors import RequestError
from headrace.server.chat.form import ChatForm
from headrace.server.chat.use import ToolUse

Plain = Mapping[str, Any]


def answer_grammar(
    form: ChatForm,
    use: ToolUse,
    wanted: Grammar | None,
    prompt: str,
    specials: Mapping[str, int],
) -> Grammar | None:
    """The grammar of an answer; None where it may be anything.

    Args:
        wanted: the form of an answer that calls no tool.
        prompt: as it was rendered; its end tells whether reasoning has begun.
        specials: ids of special tokens by their text.

    Raises:
        RequestError: the tools' schemas are malformed, or tools and `wanted` do not go together.
    """
    grammar = _with_tools(form, use, wanted, specials) if use.tools else wanted
    if grammar is None:
        return None
    return msgspec.structs.replace(grammar, reasoning=_reasoning(form, prompt))


def _with_tools(
    form: ChatForm, use: ToolUse, wanted: Grammar | None, specials: Mapping[str, int]
) -> Grammar:
    chosen = [each for each in use.tools if use.named in (None, each["function"]["name"])]
    tools = [_tool(each["function"], at) for at, each in enumerate(chosen)]
    alone = use.mode == "auto" and wanted is None
    mode: Mode = "auto" if alone else "required"
    calls = tool_grammar(tools, form.tools.syntax, specials, mode=mode, parallel=use.parallel)
    if use.mode != "auto" or wanted is None:
        return calls
    return _either(wanted, calls)


def _tool(function: Plain, at: int) -> Tool:
    return Tool(
        function["name"],
        function["parameters"],
        strict=bool(function.get("strict")),
        where=f"tools[{at}].function.parameters",
    )


def _either(wanted: Grammar, calls: Grammar) -> Grammar:
    """An answer in its form, or calls."""
    if wanted.kind not in ("json_schema", "json_object"):
        raise RequestError(
            "tools go together with JSON schemas and JSON objects only",
            where="structured_outputs",
            hint='leave tools out, or say "tool_choice": "none"',
        )
    json_object = wanted.kind == "json_object"
    schema = {"type": "object"} if json_object else read_schema(wanted.text)
    text = json.dumps({**schema, "x-guidance": schema_options(strict=wanted.strict)})
    lines = calls.text.split("\n")
    renamed = ["calls" + each.removeprefix("start") if _is_start(each) else each for each in lines]
    return Grammar("lark", "\n".join(["start: form | calls", f"form: %json {text}", *renamed]))


def _is_start(line: str) -> bool:
    return line.startswith("start:")


def _reasoning(form: ChatForm, prompt: str) -> Reasoning | None:
    """What comes before the answer: nothing where the prompt has closed it, or has no say."""
    marks, end = form.reasoning, prompt.rstrip()
    if marks is None or end.endswith(marks.closing):
        return None
    opened = end.endswith(marks.opening)
    return Reasoning(marks.opening, marks.closing, opened) if opened or form.switched else None
