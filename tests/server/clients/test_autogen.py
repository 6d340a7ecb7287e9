"""AutoGen's agent: its tool is called, the result comes back, and it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.server.clients.tools import QUESTION, WEATHER, get_weather
from tests.server.running import Server

pytestmark = pytest.mark.slow
agents = pytest.importorskip("autogen_agentchat.agents", reason="needs the clients extra")
models = pytest.importorskip("autogen_ext.models.openai", reason="needs the clients extra")


class Caller(models.OpenAIChatCompletionClient):
    """A small model does not choose tools by itself: where there are some, one must be called."""

    async def create(
        self, messages: Sequence[Any], *, tools: Sequence[Any] = (), **options: Any
    ) -> Any:
        if tools and options.get("tool_choice", "auto") == "auto":
            options["tool_choice"] = "required"
        return await super().create(messages, tools=tools, **options)


async def run(server: Server) -> list[Any]:
    client = Caller(
        model=server.model,
        base_url=server.api,
        api_key="none",
        max_retries=0,
        temperature=0,
        max_tokens=96,
        parallel_tool_calls=False,
        model_info={
            "vision": False,
            "function_calling": True,
            "json_output": True,
            "structured_output": True,
            "family": "unknown",
        },
    )
    agent = agents.AssistantAgent(
        "weatherman", model_client=client, tools=[get_weather], reflect_on_tool_use=True
    )
    result = await agent.run(task=QUESTION)
    await client.close()
    return list(result.messages)


def test_an_agent_run(server: Server) -> None:
    messages = asyncio.run(run(server))
    by_kind = {message.type: message for message in messages}
    [result] = by_kind["ToolCallExecutionEvent"].content
    assert not result.is_error
    assert WEATHER in result.content
    assert messages[-1].type == "TextMessage"
    assert messages[-1].content
