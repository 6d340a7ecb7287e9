"""Structured output through OpenAI's own client."""

from __future__ import annotations

import json
import re

import pytest
from openai import OpenAI

from tests.server.clients.tools import Person
from tests.server.running import Server

ASKED = [{"role": "user", "content": "Tell me about a person named Ada. Answer in JSON."}]


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_an_answer_as_a_pydantic_model(client: OpenAI, server: Server, temperature: float) -> None:
    reply = client.chat.completions.parse(
        model=server.model,
        messages=ASKED,
        response_format=Person,
        temperature=temperature,
        seed=3,
        max_tokens=128,
    )
    [choice] = reply.choices
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Person)


def test_a_streamed_answer_as_a_pydantic_model(client: OpenAI, server: Server) -> None:
    with client.chat.completions.stream(
        model=server.model,
        messages=ASKED,
        response_format=Person,
        temperature=0,
        max_tokens=128,
    ) as stream:
        for _ in stream:
            pass
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(parsed, Person)


def test_any_json_object(client: OpenAI, server: Server) -> None:
    reply = client.chat.completions.create(
        model=server.model,
        messages=ASKED,
        response_format={"type": "json_object"},
        temperature=0,
        max_tokens=128,
    )
    [choice] = reply.choices
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)
    else:
        assert choice.message.content.lstrip().startswith("{")


def test_a_regular_expression(client: OpenAI, server: Server) -> None:
    pattern = r"[0-9]{3}-[a-z]{2}"
    reply = client.chat.completions.create(
        model=server.model,
        messages=ASKED,
        max_tokens=32,
        extra_body={"structured_outputs": {"regex": pattern}},
    )
    assert re.fullmatch(pattern, reply.choices[0].message.content)


def test_a_grammar(client: OpenAI, server: Server) -> None:
    grammar = 'start: "yes" | "no" | "perhaps"'
    reply = client.chat.completions.create(
        model=server.model,
        messages=ASKED,
        max_tokens=16,
        extra_body={"structured_outputs": {"grammar": grammar}},
    )
    assert reply.choices[0].message.content in {"yes", "no", "perhaps"}
