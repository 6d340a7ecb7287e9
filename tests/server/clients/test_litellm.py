"""LiteLLM, which many gateways and agents put before a server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.clients.tools import QUESTION, TOOL, Person, Weather
from tests.server.running import Server

pytestmark = pytest.mark.slow

SKY = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture(scope="module")
def litellm() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network
        return pytest.importorskip("litellm", reason="needs the clients extra")


def options(server: Server, **more: Any) -> dict[str, Any]:
    where = {"model": f"openai/{server.model}", "api_base": server.api, "api_key": "none"}
    return {**where, "temperature": 0, "max_tokens": 24, "num_retries": 0, **more}


def test_completion_and_stream_agree(litellm: Any, server: Server) -> None:
    whole = litellm.completion(messages=SKY, **options(server))
    stream = litellm.completion(messages=SKY, stream=True, **options(server))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole.choices[0].message.content
    assert whole.usage.completion_tokens == 24


def test_a_tool_is_called(litellm: Any, server: Server) -> None:
    reply = litellm.completion(
        messages=[{"role": "user", "content": QUESTION}],
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        **options(server, max_tokens=96),
    )
    call = reply.choices[0].message.tool_calls[0]
    Weather.model_validate_json(call.function.arguments)


def test_a_schema_is_followed(litellm: Any, server: Server) -> None:
    reply = litellm.completion(
        messages=SKY, response_format=Person, **options(server, max_tokens=128)
    )
    Person.model_validate_json(reply.choices[0].message.content)


def test_embeddings(litellm: Any, server: Server) -> None:
    where = {key: options(server)[key] for key in ("model", "api_base", "api_key")}
    reply = litellm.embedding(input=["a cat", "a dog"], encoding_format="float", **where)
    assert len(reply.data) == 2


def test_errors_keep_their_kind(litellm: Any, server: Server) -> None:
    long = [{"role": "user", "content": "water " * 9000}]
    with pytest.raises(litellm.BadRequestError, match="8192"):
        litellm.completion(messages=long, **options(server))
