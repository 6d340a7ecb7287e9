"""LangChain's `ChatOpenAI`, as an application would use it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.clients.tools import QUESTION, WEATHER, Person, Weather, get_weather
from tests.server.running import Server

pytestmark = pytest.mark.slow
openai = pytest.importorskip("langchain_openai", reason="needs the clients extra")


def chat(server: Server, **more: Any) -> Any:
    options = {"base_url": server.api, "api_key": "none", "max_retries": 0, "temperature": 0}
    return openai.ChatOpenAI(model=server.model, **{"max_tokens": 24, **options, **more})


def test_invoke_stream_and_batch_agree(server: Server) -> None:
    model = chat(server)
    whole = model.invoke("Why is the sky blue?")
    assert whole.content
    assert whole.usage_metadata["output_tokens"] == 24
    assert "".join(chunk.content for chunk in model.stream("Why is the sky blue?")) == whole.content
    batch = model.batch(["Why is the sky blue?", "Name a colour."])
    assert batch[0].content == whole.content
    assert asyncio.run(model.ainvoke("Why is the sky blue?")).content == whole.content


def test_a_tool_is_called_and_its_result_answered(server: Server) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage

    model = chat(server, max_tokens=96)
    question = HumanMessage(QUESTION)
    tooled = model.bind_tools([Weather], tool_choice="Weather", parallel_tool_calls=False)
    called = tooled.invoke([question])
    [call] = called.tool_calls
    assert get_weather(**Weather(**call["args"]).model_dump()).startswith(WEATHER)
    result = ToolMessage(WEATHER, tool_call_id=call["id"])
    answer = model.invoke([question, called, result])
    assert answer.content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(server: Server, method: str) -> None:
    model = chat(server, max_tokens=128).with_structured_output(Person, method=method)
    assert isinstance(model.invoke("Tell me about a person named Ada."), Person)


def test_the_responses_api(server: Server) -> None:
    answer = chat(server, use_responses_api=True).invoke("Why is the sky blue?")
    assert answer.text


def test_embeddings(server: Server) -> None:
    model = openai.OpenAIEmbeddings(
        model=server.model,
        base_url=server.api,
        api_key="none",
        check_embedding_ctx_length=False,  # this would count with OpenAI's own tokenizer
    )
    vectors = model.embed_documents(["The cat sleeps.", "Interest rates rose."])
    assert len(vectors) == 2
    assert len(vectors[0]) == len(model.embed_query("A cat."))
