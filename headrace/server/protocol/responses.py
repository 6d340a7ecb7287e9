"""`/v1/responses`, stateless: nothing is kept, so each request brings the whole conversation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from headrace.errors import RequestError
from headrace.server.protocol.base import (
    MOST_LOGPROBS,
    MOST_MESSAGES,
    MOST_PARTS,
    MOST_TOOLS,
    Body,
    Name,
    Plain,
    Refused,
    Text,
    refuse,
)
from headrace.server.protocol.messages import CallId, RefusalPart, only_text
from headrace.server.protocol.sampling import Drawn, Limit
from headrace.server.protocol.structure import JsonObjectFormat, TextFormat
from headrace.server.protocol.tools import FunctionName, ToolMode

KEPT = "responses are not kept: send the whole conversation as input"
UNSUPPORTED = (
    Refused("previous_response_id", KEPT),
    Refused("conversation", KEPT),
    Refused("background", "answers in the background are not supported"),
    Refused("prompt", "stored prompts are not supported"),
    Refused("max_tool_calls", "the server has no tools of its own"),
    Refused("context_management", "contexts are not compacted"),
)


class InputTextPart(Body):
    type: Literal["input_text", "output_text", "text"]
    text: Text


InputPart = Annotated[
    Annotated[InputTextPart | RefusalPart, Field(discriminator="type")], BeforeValidator(only_text)
]


def _text_or_parts(value: object) -> str:
    return "parts" if isinstance(value, list) else "text"


InputContent = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[list[InputPart], Field(max_length=MOST_PARTS), Tag("parts")],
    Discriminator(_text_or_parts),
]


class InputMessage(Body):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: InputContent


class FunctionCallItem(Body):
    """A call that the model made."""

    type: Literal["function_call"]
    call_id: CallId
    name: Name
    arguments: Text


class FunctionOutputItem(Body):
    """What a called function gave."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: InputContent


class ReasoningText(Body):
    type: Literal["reasoning_text"]
    text: Text


class ReasoningItem(Body):
    """Reasoning of an earlier answer; encrypted reasoning of other servers cannot be read."""

    type: Literal["reasoning"]
    content: Annotated[list[ReasoningText], Field(max_length=MOST_PARTS)] | None = None


def _kind(value: object) -> str:
    if not isinstance(value, dict):
        return getattr(value, "type", "message")
    kind = cast("dict[str, object]", value).get("type", "message")
    if kind in ("message", "function_call", "function_call_output", "reasoning"):
        return str(kind)
    raise RequestError(f"input of type {kind!r} is not supported", where="input")


Item = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(_kind),
]
Items = Annotated[list[Item], Field(min_length=1, max_length=MOST_MESSAGES)]


def _text_or_items(value: object) -> str:
    return "items" if isinstance(value, list) else "text"


class FunctionTool(Body):
    type: Literal["function"]
    name: FunctionName
    description: Text | None = None
    parameters: Plain | None = None
    strict: bool | None = None


class NamedTool(Body):
    type: Literal["function"]
    name: FunctionName


def _mode_or_named(value: object) -> str:
    return "mode" if isinstance(value, str) else "named"


class SchemaFormat(Body):
    type: Literal["json_schema"]
    name: Name
    description: Text | None = None
    schema_: Annotated[Plain, Field(alias="schema")]
    strict: bool | None = None


class TextOptions(Body):
    format: (
        Annotated[TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")] | None
    ) = None


class ReasoningOptions(Body):
    effort: Annotated[str, StringConstraints(max_length=32)] | None = None


class ResponsesRequest(Drawn):
    """A conversation to answer.

    Nothing is kept, whatever `store` says; the answer says `"store": false`. A prompt is never
    truncated, whatever `truncation` says.
    """

    input: Annotated[
        Annotated[Text, Tag("text")] | Annotated[Items, Tag("items")],
        Discriminator(_text_or_items),
    ]
    instructions: Text | None = None
    max_output_tokens: Limit | None = None
    stream: bool | None = None
    store: bool | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: (
        Annotated[
            Annotated[ToolMode, Tag("mode")] | Annotated[NamedTool, Tag("named")],
            Discriminator(_mode_or_named),
        ]
        | None
    ) = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    include: Annotated[list[Name], Field(max_length=32)] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=64)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    chat_template_kwargs: Plain | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: object) -> object:
        return refuse(data, UNSUPPORTED)


def input_text(content: Any) -> str:
    """The text of an item's content, its parts joined."""
    if isinstance(content, str):
        return content
    parts = cast("list[InputTextPart | RefusalPart]", content)
    return "".join(each.text if isinstance(each, InputTextPart) else each.refusal for each in parts)
