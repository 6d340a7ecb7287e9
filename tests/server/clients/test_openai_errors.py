"""What is refused arrives as the exceptions that OpenAI's client knows."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.server.running import Server

HELLO = [{"role": "user", "content": "Hello"}]


def test_an_unknown_model(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert "no-such-model" in caught.value.message


def test_a_prompt_that_does_not_fit_tells_both_counts(client: OpenAI, server: Server) -> None:
    long = [{"role": "user", "content": "water " * 9000}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=server.model, messages=long)
    assert caught.value.code == "context_length_exceeded"
    assert "8192" in caught.value.message
    assert "90" in caught.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 3.0),
        ("temperature", "warm"),
        ("top_p", -0.1),
        ("n", 1000),
        ("top_logprobs", 1000),
        ("max_tokens", 0),
        ("logit_bias", {"1": 1000}),
        ("stop", ["x"] * 1000),
        ("messages", []),
        ("messages", [{"role": "nobody", "content": "Hello"}]),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}),
    ],
)
def test_a_value_out_of_range_names_its_field(
    client: OpenAI, server: Server, field: str, value: Any
) -> None:
    body = {"model": server.model, "messages": HELLO, "max_tokens": 1, field: value}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", cast_to=object, body=body)
    assert caught.value.type == "invalid_request_error"
    assert str(caught.value.param).startswith(field)


def test_images_are_refused(client: OpenAI, server: Server) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError, match="images"):
        client.chat.completions.create(
            model=server.model, messages=[{"role": "user", "content": [picture]}]
        )


def test_a_schema_that_means_nothing_is_refused(client: OpenAI, server: Server) -> None:
    schema = {"name": "bad", "schema": {"type": "no-such-type"}}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model=server.model,
            messages=HELLO,
            response_format={"type": "json_schema", "json_schema": schema},
        )


def test_an_unknown_path(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.get("/no/such/path", cast_to=object)
