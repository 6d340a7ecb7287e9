"""Tools through OpenAI's own client: calls cannot come out malformed."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI, pydantic_function_tool

from tests.server.clients.tools import CLOCK, QUESTION, TOOL, WEATHER, Weather
from tests.server.running import Server

ASKED = [{"role": "user", "content": QUESTION}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def ask(client: OpenAI, server: Server, **more: Any) -> Any:
    options = {"messages": ASKED, "tools": [TOOL, CLOCK], "temperature": 0, "max_tokens": 96}
    return client.chat.completions.create(model=server.model, **{**options, **more})


@pytest.mark.parametrize("choice", ["required", NAMED], ids=["required", "named"])
def test_a_call_follows_its_schema(client: OpenAI, server: Server, choice: Any) -> None:
    [answer] = ask(client, server, tool_choice=choice).choices
    assert answer.finish_reason == "tool_calls"
    call = answer.message.tool_calls[0]
    assert call.type == "function"
    assert call.id
    assert call.function.name in {"get_weather", "get_time"}
    if call.function.name == "get_weather":
        Weather.model_validate_json(call.function.arguments)


def test_streamed_arguments_are_the_same(client: OpenAI, server: Server) -> None:
    whole = ask(client, server, tool_choice=NAMED, parallel_tool_calls=False).choices[0]
    stream = ask(client, server, tool_choice=NAMED, parallel_tool_calls=False, stream=True)
    deltas = [chunk.choices[0] for chunk in stream if chunk.choices]
    parts = [part for delta in deltas for part in delta.delta.tool_calls or []]
    assert "".join(part.function.name or "" for part in parts) == "get_weather"
    arguments = "".join(part.function.arguments or "" for part in parts)
    assert arguments == whole.message.tool_calls[0].function.arguments
    assert len([part for part in parts if part.id]) == 1
    assert deltas[-1].finish_reason == "tool_calls"


def test_the_result_comes_back_and_is_answered(client: OpenAI, server: Server) -> None:
    call = ask(client, server, tool_choice=NAMED, parallel_tool_calls=False).choices[0].message
    [made] = call.tool_calls
    result = {"role": "tool", "tool_call_id": made.id, "content": WEATHER}
    [answer] = ask(
        client, server, messages=[*ASKED, call, result], tool_choice="none", max_tokens=24
    ).choices
    assert answer.message.content
    assert not answer.message.tool_calls


def test_no_tools_where_none_are_wanted(client: OpenAI, server: Server) -> None:
    [answer] = ask(client, server, tool_choice="none", max_tokens=16).choices
    assert answer.message.content
    assert answer.message.tool_calls is None


def test_arguments_as_a_pydantic_model(client: OpenAI, server: Server) -> None:
    reply = client.chat.completions.parse(
        model=server.model,
        messages=ASKED,
        tools=[pydantic_function_tool(Weather, name="get_weather")],
        tool_choice=NAMED,
        temperature=0,
        max_tokens=96,
    )
    parsed = reply.choices[0].message.tool_calls[0].function.parsed_arguments
    assert isinstance(parsed, Weather)
