"""The input of `/v1/responses`, as messages of a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.server.protocol.messages import (
    AssistantMessage,
    CalledFunction,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from headrace.server.protocol.responses import (
    FunctionCallItem,
    FunctionOutputItem,
    InputMessage,
    Item,
    ReasoningItem,
    input_text,
)


def messages_of(items: str | Sequence[Item], instructions: str | None) -> list[Message]:
    """The conversation; what the assistant did in one turn becomes one message."""
    messages: list[Message] = []
    if instructions:
        messages.append(SystemMessage(role="system", content=instructions))
    if isinstance(items, str):
        return [*messages, UserMessage(role="user", content=items)]
    for item in items:
        _append(messages, item)
    return messages


def _append(messages: list[Message], item: Item) -> None:
    match item:
        case InputMessage(role="assistant"):
            _extend_turn(messages, content=input_text(item.content))
        case InputMessage(role="user"):
            messages.append(UserMessage(role="user", content=input_text(item.content)))
        case InputMessage():
            role = "developer" if item.role == "developer" else "system"
            messages.append(SystemMessage(role=role, content=input_text(item.content)))
        case FunctionCallItem():
            function = CalledFunction(name=item.name, arguments=item.arguments)
            _extend_turn(messages, call=ToolCall(id=item.call_id, function=function))
        case FunctionOutputItem():
            content = input_text(item.output)
            message = ToolMessage(role="tool", content=content, tool_call_id=item.call_id)
            messages.append(message)
        case ReasoningItem():
            text = "".join(each.text for each in item.content or ())
            _extend_turn(messages, reasoning=text or None)


def _extend_turn(
    messages: list[Message],
    *,
    content: str | None = None,
    call: ToolCall | None = None,
    reasoning: str | None = None,
) -> None:
    """Put something into the assistant's turn; text or reasoning after calls begins another."""
    last = messages[-1] if messages else None
    if not isinstance(last, AssistantMessage) or (last.tool_calls and call is None):
        last = AssistantMessage(role="assistant")
        messages.append(last)
    texts = [each for each in (last.content, content) if isinstance(each, str)]
    thoughts = [each for each in (last.reasoning_content, reasoning) if each is not None]
    messages[-1] = AssistantMessage(
        role="assistant",
        content="".join(texts) if texts else None,
        reasoning_content="".join(thoughts) if thoughts else None,
        tool_calls=[*(last.tool_calls or ()), call] if call is not None else last.tool_calls,
    )
