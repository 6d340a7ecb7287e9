"""CrewAI's crew of one agent: its tool is called, the result comes back, and it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.clients.tools import QUESTION, WEATHER, get_weather
from tests.server.running import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crewai(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package, asked to keep to itself."""
    storage: Path = tmp_path_factory.mktemp("crewai")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREWAI_DISABLE_TELEMETRY", "true")
        patch.setenv("OTEL_SDK_DISABLED", "true")
        patch.setenv("CREWAI_TRACING_ENABLED", "false")
        patch.setenv("CREWAI_STORAGE_DIR", str(storage))
        yield pytest.importorskip("crewai", reason="needs the clients extra")


def caller(crewai: Any, server: Server, requests: list[dict[str, Any]]) -> Any:
    """CrewAI's client for OpenAI; notes its requests.

    A small model does not choose tools by itself: where there are some, one must be called first,
    and its result answered then.
    """
    from crewai.llms.providers.openai.completion import OpenAICompletion

    class Caller(OpenAICompletion):
        def _prepare_completion_params(self, messages: Any, tools: Any = None) -> dict[str, Any]:
            params = super()._prepare_completion_params(messages, tools)
            if tools:
                answered = any(message["role"] == "tool" for message in params["messages"])
                params["tool_choice"] = "none" if answered else "required"
            requests.append(params)
            return params

    return Caller(
        model=server.model,
        base_url=server.api,
        api_key="none",
        temperature=0,
        max_tokens=96,
        max_retries=0,
    )


def test_a_crew_run(crewai: Any, server: Server) -> None:
    from crewai.tools import tool

    requests: list[dict[str, Any]] = []
    agent = crewai.Agent(
        role="Weatherman",
        goal="Tell the weather",
        backstory="You know the weather.",
        llm=caller(crewai, server, requests),
        tools=[tool("get_weather")(get_weather)],
        max_iter=4,
    )
    task = crewai.Task(description=QUESTION, expected_output="One sentence.", agent=agent)
    result = crewai.Crew(agents=[agent], tasks=[task]).kickoff()
    results = [m["content"] for r in requests for m in r["messages"] if m["role"] == "tool"]
    assert any(WEATHER in each for each in results)
    assert result.raw
