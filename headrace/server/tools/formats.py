"""How models write calls of functions: a table, and which of its rows a chat template has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shape = Literal["object", "named"]


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """A way to write calls.

    An answer's calls are `section_open call separator call ... section_close`, with brackets around
    the calls if they are an `array`; a call is `call_open body call_close`. The body is

    - shape `object`: a JSON object, {name_key: NAME, arguments_key: ARGUMENTS}, or
    - shape `named`: `NAME name_close ARGUMENTS`, with the arguments as a JSON object.

    Attributes:
        markers: what a template that uses this format has in its source, all of it.
        without: what it has not.
        arguments_as: what the template expects the arguments of earlier calls to be.
    """

    name: str
    markers: tuple[str, ...]
    section_open: str = ""
    section_close: str = ""
    array: bool = False
    call_open: str = ""
    call_close: str = ""
    separator: str = "\n"
    shape: Shape = "object"
    name_key: str = "name"
    arguments_key: str = "arguments"
    name_close: str = ""
    without: tuple[str, ...] = ()
    arguments_as: Literal["object", "text"] = "object"

    @property
    def opening(self) -> str:
        """What tells calls from text; nothing where an answer that begins with JSON is a call."""
        return (self.section_open or self.call_open).strip()

    @property
    def literals(self) -> tuple[str, ...]:
        """What stands around calls, as it may be a special token of the vocabulary."""
        around = self.section_open, self.section_close, self.call_open, self.call_close
        return tuple(filter(None, (each.strip() for each in (*around, self.name_close))))


HERMES = ToolFormat(
    "hermes",
    ("<tool_call>", "</tool_call>"),
    call_open="<tool_call>\n",
    call_close="\n</tool_call>",
    without=("<function=", "<arg_key>"),
)

FORMATS = (
    HERMES,
    ToolFormat(
        "mistral-named",
        ("[TOOL_CALLS]", "[ARGS]"),
        call_open="[TOOL_CALLS]",
        separator="",
        shape="named",
        name_close="[ARGS]",
    ),
    ToolFormat(
        "mistral",
        ("[TOOL_CALLS]",),
        section_open="[TOOL_CALLS]",
        array=True,
        separator=", ",
        without=("[ARGS]",),
    ),
    ToolFormat(
        "deepseek-v3.1",
        ("<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>"),
        section_open="<｜tool▁calls▁begin｜>",
        section_close="<｜tool▁calls▁end｜>",
        call_open="<｜tool▁call▁begin｜>",
        call_close="<｜tool▁call▁end｜>",
        separator="",
        shape="named",
        name_close="<｜tool▁sep｜>",
        without=("```json",),
        arguments_as="text",
    ),
    ToolFormat(
        "deepseek-v3",
        ("<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>", "```json"),
        section_open="<｜tool▁calls▁begin｜>",
        section_close="<｜tool▁calls▁end｜>",
        call_open="<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
        call_close="\n```<｜tool▁call▁end｜>",
        shape="named",
        name_close="\n```json\n",
        arguments_as="text",
    ),
    ToolFormat(
        "command",
        ("<|START_ACTION|>", "tool_name"),
        section_open="<|START_ACTION|>",
        section_close="<|END_ACTION|>",
        array=True,
        separator=", ",
        name_key="tool_name",
        arguments_key="parameters",
    ),
    ToolFormat(
        "phi-4",
        ("<|tool_call|>", "<|/tool_call|>"),
        section_open="<|tool_call|>",
        section_close="<|/tool_call|>",
        array=True,
        separator=", ",
    ),
    ToolFormat(
        "granite",
        ("<|tool_call|>",),
        section_open="<|tool_call|>",
        array=True,
        separator=", ",
        without=("<|/tool_call|>",),
    ),
    ToolFormat(
        "llama-3",
        ('"parameters": ', "tool_calls"),
        separator="; ",
        arguments_key="parameters",
    ),
)


def format_of(template: str) -> ToolFormat | None:
    """The row whose marks a chat template's source has; None where it has no known ones."""
    for each in FORMATS:
        present = all(mark in template for mark in each.markers)
        if present and not any(mark in template for mark in each.without):
            return each
    return None
