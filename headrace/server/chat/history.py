"""Messages of a request as a chat template takes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, cast

from headrace.errors import RequestError
from headrace.server.chat.form import ChatForm
from headrace.server.protocol.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
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
    history = _History(form)
    for at, message in enumerate(messages):
        history.add(message, at)
    written = history.written
    if tools and not form.native_tools:
        written = _with_system_text(written, described(tools))
    return _without_system(written) if form.systemless else written


class _History:
    """Messages as they are written for a template.

    Attributes:
        written: so far.
    """

    def __init__(self, form: ChatForm) -> None:
        self.written: list[Plain] = []
        self._form = form
        self._names: dict[str, str] = {}
        self._results = False

    def add(self, message: Message, at: int) -> None:
        content = text_of(message.content)
        if isinstance(message, ToolMessage):
            self._add_result(message, content)
        elif isinstance(message, AssistantMessage):
            self.written.append(self._assistant(message, content or message.refusal or "", at))
        else:
            developer = isinstance(message, SystemMessage) and not self._form.developer
            named = {} if message.name is None else {"name": message.name}
            role = "system" if developer else message.role
            self.written.append({"role": role, "content": content, **named})
        self._results = isinstance(message, ToolMessage)

    def _add_result(self, message: ToolMessage, content: str) -> None:
        """A tool's result; for templates that know no tools, results are the user's message."""
        if self._form.native_tools:
            known = self._names.get(message.tool_call_id)
            named = {} if known is None else {"name": known}
            identifier = self._id(message.tool_call_id)
            fields = {"role": "tool", "content": content, "tool_call_id": identifier}
            self.written.append({**fields, **named})
        elif self._results:
            self.written[-1]["content"] += "\n" + result_text(content)
        else:
            self.written.append({"role": "user", "content": result_text(content)})

    def _assistant(self, message: AssistantMessage, content: str, at: int) -> Plain:
        written: Plain = {"role": "assistant", "content": content}
        if message.reasoning_content is not None:
            written["reasoning_content"] = message.reasoning_content
        calls = message.tool_calls or []
        where = f"messages[{at}].tool_calls"
        parsed = [_arguments(call, f"{where}[{i}]") for i, call in enumerate(calls)]
        if not calls:
            return written
        if not self._form.native_tools:
            texts = [call_text(c.function.name, p) for c, p in zip(calls, parsed, strict=True)]
            written["content"] = "\n".join(filter(None, (content, *texts)))
            return written
        written["tool_calls"] = [self._call(c, p) for c, p in zip(calls, parsed, strict=True)]
        return written

    def _call(self, call: ToolCall, parsed: Plain) -> Plain:
        self._names[call.id] = call.function.name
        as_text = self._form.tools.arguments_as == "text"
        arguments = call.function.arguments if as_text else parsed
        function = {"name": call.function.name, "arguments": arguments}
        return {"id": self._id(call.id), "type": "function", "function": function}

    def _id(self, identifier: str) -> str:
        """An id that the template takes; headrace's own are as they were."""
        fits = len(identifier) == 9 and identifier.isalnum()
        if fits or not self._form.short_ids:
            return identifier
        return hashlib.sha256(identifier.encode()).hexdigest()[:9]


def _arguments(call: ToolCall, where: str) -> Plain:
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
    return cast(Plain, value)


def _with_system_text(messages: list[Plain], text: str) -> list[Plain]:
    """The text in the system message, which is made where there is none."""
    first = messages[0]
    if first["role"] != "system":
        return [{"role": "system", "content": text}, *messages]
    joined = "\n\n".join(filter(None, (first["content"], text)))
    return [{**first, "content": joined}, *messages[1:]]


def _without_system(messages: list[Plain]) -> list[Plain]:
    """The first message's text in front of the user's, for templates without a system role."""
    if messages[0]["role"] != "system":
        return messages
    text, rest = messages[0]["content"], messages[1:]
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": text}, *rest]
    joined = "\n\n".join(filter(None, (text, rest[0]["content"])))
    return [{**rest[0], "content": joined}, *rest[1:]]
