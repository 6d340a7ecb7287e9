"""What is read off published chat templates, and conversations with tools written by them."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.errors import RequestError
from headrace.server.chat.form import form_of
from headrace.server.chat.history import template_messages
from headrace.server.protocol.chat import ChatRequest
from headrace.server.tools.split import CallSplit
from headrace.text import ChatTemplate
from tests.text.published_templates import PUBLISHED

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_0123456789abcdef",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'},
}
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Weather in Zürich?"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": CALL["id"], "content": "21 degrees"},
]
NATIVE = {"llama3.1": "llama-3", "mistral": "mistral", "qwen2.5": "hermes", "qwen3": "hermes"}
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def source_of(name: str) -> str:
    return PUBLISHED[name]


def rendered(name: str, messages: list[dict[str, Any]], tools: list[Any]) -> str:
    source = source_of(name)
    form = form_of(source)
    body = ChatRequest.model_validate({"model": "m", "messages": messages})
    plain = template_messages(body.messages, form, tools)
    native: dict[str, Any] = {"tools": tools} if form.native_tools else {}
    return ChatTemplate(source, SPECIAL_TOKENS).render(plain, **native)


@pytest.mark.parametrize("name", PUBLISHED)
def test_formats_are_found(name: str) -> None:
    form = form_of(source_of(name))
    assert form.native_tools == (name in NATIVE)
    assert form.tools.name == NATIVE.get(name, "hermes")
    assert (form.reasoning is not None) == (name in ("qwen3", "deepseek-r1", "smollm3"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_conversation_with_tools_is_written(name: str) -> None:
    text = rendered(name, HISTORY, [TOOL])
    assert "get_weather" in text
    assert "The weather of a city." in text
    assert "21 degrees" in text


@pytest.mark.parametrize("name", ["llama3.1", "mistral", "qwen2.5", "qwen3"])
def test_calls_are_read_as_the_template_writes_them(name: str) -> None:
    form = form_of(source_of(name))
    text = rendered(name, HISTORY[:3], [])
    start = text.rindex(form.tools.opening or '{"name"')
    split = CallSplit(form.tools, {"get_weather"})
    call, *arguments = split.push(text[start:])
    assert not isinstance(call, str)
    assert call.name == "get_weather"
    joined = "".join(each.arguments for each in arguments if not isinstance(each, str))
    assert joined in ('{"city": "Zürich"}', '{"city":"Zürich"}')


def test_results_without_a_template_for_them_are_one_message_of_the_users() -> None:
    source = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    body = ChatRequest.model_validate({"model": "m", "messages": [*HISTORY, HISTORY[-1]]})
    messages = template_messages(body.messages, form_of(source), [])
    assert [each["role"] for each in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"].startswith("<tool_call>\n")
    assert messages[3]["content"].count("<tool_response>\n21 degrees\n</tool_response>") == 2


def test_a_template_without_a_system_role_gets_its_text_from_the_user() -> None:
    source = "{{ raise_exception('System role not supported') }}"
    body = ChatRequest.model_validate({"model": "m", "messages": HISTORY[:2]})
    [message] = template_messages(body.messages, form_of(source), [])
    assert message == {"role": "user", "content": "Be brief.\n\nWeather in Zürich?"}


def test_arguments_that_are_no_object_are_refused() -> None:
    call = {**CALL, "function": {"name": "f", "arguments": "[1]"}}
    messages = [{"role": "assistant", "tool_calls": [call]}]
    body = ChatRequest.model_validate({"model": "m", "messages": messages})
    with pytest.raises(RequestError) as caught:
        template_messages(body.messages, form_of(""), [])
    assert caught.value.where == "messages[0].tool_calls[0].function.arguments"
