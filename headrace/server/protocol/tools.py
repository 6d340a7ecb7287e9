"""Functions that the model may call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from headrace.server.protocol.base import MOST_TOOLS, Body, Plain, Text

FunctionName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.:/-]{1,128}$")]


class Function(Body):
    """A function; its parameters are a JSON schema."""

    name: FunctionName
    description: Text | None = None
    parameters: Plain | None = None
    strict: bool | None = None


class Tool(Body):
    type: Literal["function"]
    function: Function


class ChosenFunction(Body):
    name: FunctionName


class ChosenTool(Body):
    type: Literal["function"]
    function: ChosenFunction


def _shape(value: object) -> str:
    return "mode" if isinstance(value, str) else "named"


ToolMode = Literal["none", "auto", "required"]
ToolChoice = Annotated[
    Annotated[ToolMode, Tag("mode")] | Annotated[ChosenTool, Tag("named")], Discriminator(_shape)
]
Tools = Annotated[list[Tool], Field(max_length=MOST_TOOLS)]
