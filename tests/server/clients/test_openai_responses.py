"""`/v1/responses` through OpenAI's own client."""

from __future__ import annotations

import pytest
from openai import OpenAI

from tests.server.clients.tools import QUESTION, WEATHER, Person, Weather
from tests.server.running import Server

SKY = "Why is the sky blue?"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "parameters": Weather.model_json_schema(),
    "strict": False,
}


@pytest.fixture(scope="module")
def answer(client: OpenAI, server: Server) -> str:
    return client.responses.create(
        model=server.model, input=SKY, temperature=0, max_output_tokens=24, store=False
    ).output_text


def test_a_response_says_what_chat_says(client: OpenAI, server: Server, answer: str) -> None:
    reply = client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": SKY}],
        temperature=0,
        max_tokens=24,
    )
    assert answer == reply.choices[0].message.content


def test_a_response_that_was_cut_says_so(client: OpenAI, server: Server) -> None:
    response = client.responses.create(model=server.model, input=SKY, max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 16


def test_instructions_and_a_conversation(client: OpenAI, server: Server) -> None:
    conversation = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": [{"type": "input_text", "text": "Who am I?"}]},
    ]
    response = client.responses.create(
        model=server.model, instructions="Be brief.", input=conversation, max_output_tokens=16
    )
    assert response.output_text
    assert response.instructions == "Be brief."


def test_streamed_events(client: OpenAI, server: Server, answer: str) -> None:
    stream = client.responses.create(
        model=server.model, input=SKY, temperature=0, max_output_tokens=24, stream=True
    )
    events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.incomplete"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == answer
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_stream_helper_parses(client: OpenAI, server: Server) -> None:
    with client.responses.stream(
        model=server.model,
        input="Tell me about a person named Ada.",
        text_format=Person,
        temperature=0,
        max_output_tokens=128,
    ) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_response().output_parsed, Person)


def test_a_function_call_and_its_output(client: OpenAI, server: Server) -> None:
    question = {"role": "user", "content": QUESTION}
    response = client.responses.create(
        model=server.model,
        input=[question],
        tools=[TOOL],
        tool_choice={"type": "function", "name": "get_weather"},
        parallel_tool_calls=False,
        temperature=0,
        max_output_tokens=96,
    )
    [call] = [item for item in response.output if item.type == "function_call"]
    Weather.model_validate_json(call.arguments)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": WEATHER}
    answer = client.responses.create(
        model=server.model,
        input=[question, call, output],
        tools=[TOOL],
        tool_choice="none",
        max_output_tokens=24,
    )
    assert answer.output_text
