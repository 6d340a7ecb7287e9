"""Completions, embeddings and the list of models through OpenAI's own client."""

from __future__ import annotations

import math

import pytest
from openai import OpenAI

from tests.server.running import Server

START = "Once upon a time"


def test_models(client: OpenAI, server: Server) -> None:
    assert [model.id for model in client.models.list()] == [server.model]
    assert client.models.retrieve(server.model).id == server.model


def test_a_completion(client: OpenAI, server: Server) -> None:
    options = {"model": server.model, "prompt": START, "max_tokens": 16, "temperature": 0}
    whole = client.completions.create(**options).choices[0]
    stream = client.completions.create(**options, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == whole.text
    assert whole.finish_reason == "length"


def test_completions_of_several_prompts(client: OpenAI, server: Server) -> None:
    prompts = [START, "The river"]
    reply = client.completions.create(
        model=server.model, prompt=prompts, max_tokens=8, temperature=0, echo=True
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert all(
        choice.text.startswith(prompt)
        for choice, prompt in zip(reply.choices, prompts, strict=True)
    )


def test_completion_logprobs(client: OpenAI, server: Server) -> None:
    reply = client.completions.create(
        model=server.model, prompt=START, max_tokens=8, temperature=0, logprobs=2
    )
    found = reply.choices[0].logprobs
    assert "".join(found.tokens) == reply.choices[0].text
    assert all(
        top[token] == pytest.approx(own)
        for token, own, top in zip(
            found.tokens, found.token_logprobs, found.top_logprobs, strict=True
        )
    )


def test_a_penalty_ends_repetition(client: OpenAI, server: Server) -> None:
    def goes_on(penalty: float) -> str:
        reply = client.completions.create(
            model=server.model,
            prompt=", ".join(["water"] * 40),
            max_tokens=12,
            temperature=0,
            frequency_penalty=penalty,
        )
        return reply.choices[0].text

    assert goes_on(0).count("water") > goes_on(2).count("water")


def test_embeddings(client: OpenAI, server: Server) -> None:
    texts = ["The cat sleeps.", "A cat is asleep.", "Interest rates rose in March."]
    packed = client.embeddings.create(model=server.model, input=texts)
    plain = client.embeddings.create(model=server.model, input=texts, encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    cat, same, rates = (item.embedding for item in plain.data)
    assert cosine(cat, same) > cosine(cat, rates)
    assert packed.usage.prompt_tokens > 10


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))
