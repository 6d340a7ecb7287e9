"""How models write calls of functions: a table, and which of its rows a chat template has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.engine.choice.tool_grammar import NAME, CallSyntax


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """A way to write calls.

    Attributes:
        markers: what a template that uses it has in its source, all of it. without: has not.
        arguments_as: what the template expects the arguments of earlier calls to be.
    """

    name: str
    syntax: CallSyntax
    markers: tuple[str, ...]
    without: tuple[str, ...] = ()
    arguments_as: Literal["object", "text"] = "object"

    @property
    def named(self) -> bool:
        """Whether a call's name stands before its arguments, not in one JSON object with them."""
        return NAME in self.syntax.begin and not self.syntax.is_list

    @property
    def call_opening(self) -> str:
        """What each call begins with."""
        return "" if self.syntax.is_list else self.syntax.begin.split(NAME)[0].strip()

    @property
    def name_end(self) -> str:
        """What stands behind a name, if it is `named`."""
        return self.syntax.begin.split(NAME)[1].strip() if self.named else ""

    @property
    def opening(self) -> str:
        """What tells calls from text; nothing where an answer that begins with JSON is a call."""
        return self.syntax.opening.strip() or self.call_opening

    @property
    def closings(self) -> tuple[str, ...]:
        """What may stand behind a call, besides the next one."""
        syntax = self.syntax
        marks = syntax.separator, syntax.closing, *(("]",) if syntax.is_list else (syntax.end,))
        return tuple(filter(None, (each.strip() for each in marks)))

    @property
    def literals(self) -> tuple[str, ...]:
        """Texts around calls, in which there may be special tokens of the vocabulary."""
        syntax = self.syntax
        return syntax.opening, syntax.closing, syntax.begin, syntax.end, syntax.separator


HERMES = ToolFormat(
    "hermes",
    CallSyntax("<tool_call>\n", "\n</tool_call>", "\n"),
    markers=("<tool_call>", "</tool_call>"),
    without=("<function=", "<arg_key>"),
)

FORMATS = (
    HERMES,
    ToolFormat(
        "mistral-named",
        CallSyntax(f"[TOOL_CALLS]{NAME}[ARGS]"),
        markers=("[TOOL_CALLS]", "[ARGS]"),
    ),
    ToolFormat(
        "mistral",
        CallSyntax(opening="[TOOL_CALLS]", is_list=True),
        markers=("[TOOL_CALLS]",),
        without=("[ARGS]",),
    ),
    ToolFormat(
        "deepseek-v3.1",
        CallSyntax(
            f"<｜tool▁call▁begin｜>{NAME}<｜tool▁sep｜>",
            "<｜tool▁call▁end｜>",
            opening="<｜tool▁calls▁begin｜>",
            closing="<｜tool▁calls▁end｜>",
        ),
        markers=("<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>"),
        without=("```json",),
        arguments_as="text",
    ),
    ToolFormat(
        "deepseek-v3",
        CallSyntax(
            f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{NAME}\n```json\n",
            "\n```<｜tool▁call▁end｜>",
            "\n",
            opening="<｜tool▁calls▁begin｜>",
            closing="<｜tool▁calls▁end｜>",
        ),
        markers=("<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>", "```json"),
        arguments_as="text",
    ),
    ToolFormat(
        "command",
        CallSyntax(
            opening="<|START_ACTION|>",
            closing="<|END_ACTION|>",
            name_key="tool_name",
            arguments_key="parameters",
            is_list=True,
        ),
        markers=("<|START_ACTION|>", "tool_name"),
    ),
    ToolFormat(
        "phi-4",
        CallSyntax(opening="<|tool_call|>", closing="<|/tool_call|>", is_list=True),
        markers=("<|tool_call|>", "<|/tool_call|>"),
    ),
    ToolFormat(
        "granite",
        CallSyntax(opening="<|tool_call|>", is_list=True),
        markers=("<|tool_call|>",),
        without=("<|/tool_call|>",),
    ),
    ToolFormat(
        "llama-3",
        CallSyntax(separator="; ", arguments_key="parameters"),
        markers=('"parameters": ', "tool_calls"),
    ),
)


def format_of(template: str) -> ToolFormat | None:
    """The row whose marks a chat template's source has; None where it has no known ones."""
    for each in FORMATS:
        present = all(mark in template for mark in each.markers)
        if present and not any(mark in template for mark in each.without):
            return each
    return None
