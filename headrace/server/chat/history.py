"""Messages of a request as a chat template takes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, assert_never

from headrace.errors import RequestError
from headrace.server.chat.form import ChatForm
from headrace.server.protocol.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    text_of,
)
from headrace.server.tools.describe import call_text, described, result_text

Plain = dict[str, Any]


def template_messages(
    messages: Sequence[Message], form: ChatForm, tools: Sequence[Plain]
) -> list[Plain]:
    """What the template is given as `messages`; tools too, where it does not know them.

    Raises:
        RequestError: arguments of an earlier call are no JSON object.
    """
    written = [_written(each, at, form) for at, each in enumerate(messages)]
    if form.native_tools or not tools:
        return written
    return _with_system_text(written, described(tools))


def _written(message: Message, at: int, form: ChatForm) -> Plain:
    content = text_of(message.content)
    match message:
        case SystemMessage():
            role = message.role if form.developer else "system"
            return _named(message, {"role": role, "content": content})
        case UserMessage():
            return _named(message, {"role": "user", "content": content})
        case AssistantMessage():
            return _assistant(message, content or message.refusal or "", at, form)
        case ToolMessage():
            return _result(message, content, form)
        case _:
            assert_never(message)


def _named(message: SystemMessage | UserMessage, written: Plain) -> Plain:
    return written if message.name is None else {**written, "name": message.name}


def _assistant(message: AssistantMessage, content: str, at: int, form: ChatForm) -> Plain:
    written: Plain = {"role": "assistant", "content": content}
    if message.reasoning_content is not None:
        written["reasoning_content"] = message.reasoning_content
    calls = message.tool_calls or []
    parsed = [_arguments(call, f"messages[{at}].tool_calls[{i}]") for i, call in enumerate(calls)]
    if not calls:
        return written
    if not form.native_tools:
        texts = [call_text(c.function.name, p) for c, p in zip(calls, parsed, strict=True)]
        written["content"] = "\n".join(filter(None, (content, *texts)))
        return written
    as_text = form.tools.arguments_as == "text"
    written["tool_calls"] = [
        _call(call, call.function.arguments if as_text else arguments)
        for call, arguments in zip(calls, parsed, strict=True)
    ]
    return written


def _call(call: ToolCall, arguments: object) -> Plain:
    function = {"name": call.function.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _arguments(call: ToolCall, where: str) -> object:
    try:
        value: object = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RequestError(
            "the arguments of a tool call are not a JSON object",
            where=f"{where}.function.arguments",
            hint="send them back as they came",
        )
    return value  # pyright: ignore[reportUnknownVariableType]


def _result(message: ToolMessage, content: str, form: ChatForm) -> Plain:
    if not form.native_tools:
        return {"role": "user", "content": result_text(content)}
    return {"role": "tool", "content": content, "tool_call_id": message.tool_call_id}


def _with_system_text(messages: list[Plain], text: str) -> list[Plain]:
    """The text in the system message, which is made where there is none."""
    first = messages[0]
    if first["role"] != "system":
        return [{"role": "system", "content": text}, *messages]
    joined = "\n\n".join(filter(None, (first["content"], text)))
    return [{**first, "content": joined}, *messages[1:]]
