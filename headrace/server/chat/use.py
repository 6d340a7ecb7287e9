"""Which tools a request has, and whether the model has to call one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headrace.errors import RequestError
from headrace.server.protocol.tools import ChosenTool, Tool

#: Parameters of a function that takes none.
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools of a request, and whether they are called.

    Attributes:
        tools: as OpenAI's clients send them.
        mode: the model may call (auto), must call (required), or must call `named`.
    """

    tools: Sequence[dict[str, Any]] = ()
    mode: Literal["auto", "required", "named"] = "auto"
    named: str | None = None
    parallel: bool = True


NO_TOOLS = ToolUse()


def tool_use(tools: Sequence[Tool], choice: str | ChosenTool | None, *, parallel: bool) -> ToolUse:
    """The use of tools that a request asks for.

    Raises:
        RequestError: it must call a tool that there is not, or two have one name.
    """
    names = [each.function.name for each in tools]
    if len(set(names)) < len(names):
        raise RequestError("two tools have one name", where="tools")
    if isinstance(choice, ChosenTool) and choice.function.name not in names:
        raise RequestError(
            f"there is no tool '{choice.function.name}'",
            where="tool_choice",
            hint=f"one of: {', '.join(names)}" if names else "give tools",
        )
    if choice == "required" and not tools:
        raise RequestError("a tool must be called, and there is none", where="tool_choice")
    if choice == "none" or not tools:
        return NO_TOOLS
    plain = [_plain(each) for each in tools]
    if isinstance(choice, ChosenTool):
        return ToolUse(plain, "named", choice.function.name, parallel)
    return ToolUse(plain, "required" if choice == "required" else "auto", None, parallel)


def _plain(tool: Tool) -> dict[str, Any]:
    """As templates write it: without what was left out."""
    function = tool.function.model_dump(exclude_none=True)
    return {"type": "function", "function": {"parameters": NO_PARAMETERS, **function}}
