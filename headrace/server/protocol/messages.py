"""The messages of a conversation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag
from pydantic_core import PydanticCustomError

from headrace.server.protocol.base import MOST_MESSAGES, MOST_PARTS, Body, Name, Text

#: Kinds of content that other models take.
FOREIGN = {
    "image_url": "images",
    "input_image": "images",
    "input_audio": "audio",
    "video_url": "videos",
    "file": "files",
    "input_file": "files",
}


def only_text(part: object) -> object:
    """The part as it came, if it is text; for validators that run before."""
    if not isinstance(part, dict):
        return part
    kind = cast("dict[str, object]", part).get("type")
    if isinstance(kind, str) and kind in FOREIGN:
        what = f"{FOREIGN[kind]} are not supported: this model reads text"
        raise PydanticCustomError("unsupported", "{what}", {"what": what})
    return cast("dict[str, object]", part)


class TextPart(Body):
    type: Literal["text"]
    text: Text


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: Text


Part = Annotated[
    Annotated[TextPart | RefusalPart, Field(discriminator="type")], BeforeValidator(only_text)
]
Parts = Annotated[list[Part], Field(max_length=MOST_PARTS)]


def _shape(value: object) -> str:
    return "parts" if isinstance(value, list) else "text"


Content = Annotated[
    Annotated[Text, Tag("text")] | Annotated[Parts, Tag("parts")], Discriminator(_shape)
]
CallId = Annotated[str, StringConstraints(max_length=256)]


class CalledFunction(Body):
    name: Name
    arguments: Text


class ToolCall(Body):
    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: Content
    name: Name | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: Content
    name: Name | None = None


class AssistantMessage(Body):
    """What the model said; `reasoning_content` is an extension."""

    role: Literal["assistant"]
    content: Content | None = None
    refusal: Text | None = None
    name: Name | None = None
    reasoning_content: Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=256)] | None = None


class ToolMessage(Body):
    role: Literal["tool"]
    content: Content
    tool_call_id: CallId


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]
Messages = Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]


def text_of(content: Any) -> str:
    """The text of a message's content, its parts joined."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = cast("list[TextPart | RefusalPart]", content)
    return "".join(each.text if isinstance(each, TextPart) else each.refusal for each in parts)
