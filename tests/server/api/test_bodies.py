"""Bodies of requests: what clients send is taken, what cannot be done is named."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from headrace.errors import RequestError
from headrace.server.protocol.chat import UNSUPPORTED as CHAT_UNSUPPORTED
from headrace.server.protocol.chat import ChatRequest
from headrace.server.protocol.completions import CompletionRequest
from headrace.server.protocol.embeddings import EmbeddingRequest
from headrace.server.protocol.responses import ResponsesRequest

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
TEXT = {"model": "m", "prompt": "Hi"}
INPUT = {"model": "m", "input": "Hi"}


@pytest.mark.parametrize(
    ("kind", "base"),
    [(ChatRequest, CHAT), (CompletionRequest, TEXT), (ResponsesRequest, INPUT)],
)
def test_every_option_may_be_null(kind: type[BaseModel], base: dict[str, Any]) -> None:
    options = {name: None for name, each in kind.model_fields.items() if not each.is_required()}
    kind.model_validate({**options, **base})


def test_fields_of_other_services_are_ignored() -> None:
    extra = {"service_tier": "auto", "store": True, "metadata": {"a": "b"}, "prompt_cache_key": "x"}
    ChatRequest.model_validate({**CHAT, **extra, "extra_headers": {}})


@pytest.mark.parametrize("refused", CHAT_UNSUPPORTED, ids=[each.field for each in CHAT_UNSUPPORTED])
def test_what_would_change_the_answer_is_refused_by_name(refused: Any) -> None:
    ChatRequest.model_validate({**CHAT, refused.field: None})
    with pytest.raises(RequestError) as caught:
        ChatRequest.model_validate({**CHAT, refused.field: [{"some": "thing"}]})
    assert caught.value.where == refused.field


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CompletionRequest, {**TEXT, "suffix": "end"}),
        (CompletionRequest, {**TEXT, "best_of": 2}),
        (ResponsesRequest, {**INPUT, "previous_response_id": "resp_1"}),
        (ResponsesRequest, {**INPUT, "input": [{"type": "item_reference", "id": "x"}]}),
        (EmbeddingRequest, {**INPUT, "dimensions": 3}),
    ],
)
def test_other_routes_refuse_too(kind: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        kind.model_validate(body)


@pytest.mark.parametrize(
    "field",
    [
        {"n": 17},
        {"n": 0},
        {"n": "1"},
        {"top_logprobs": 21},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"temperature": True},
        {"top_p": 0},
        {"stop": ["x"] * 17},
        {"stop": ""},
        {"stop": "x" * 1025},
        {"logit_bias": {"x": 1}},
        {"logit_bias": {"1": 101}},
        {"logit_bias": {str(i): 1 for i in range(301)}},
        {"max_tokens": 0},
        {"seed": 1 << 63},
        {"messages": []},
        {"messages": [{"role": "robot", "content": "Hi"}]},
        {"tools": [{"type": "web_search"}]},
        {"tool_choice": "perhaps"},
    ],
    ids=str,
)
def test_values_are_bounded(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({**CHAT, **field})


def test_deep_schemas_are_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"items": schema}
    form = {"type": "json_schema", "json_schema": {"name": "deep", "schema": schema}}
    with pytest.raises(ValidationError, match="levels deep"):
        ChatRequest.model_validate({**CHAT, "response_format": form})


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
def test_what_is_no_text_is_named(kind: str) -> None:
    content: list[Any] = [{"type": "text", "text": "What is this?"}, {"type": kind, kind: {}}]
    with pytest.raises(ValidationError, match="are not supported: this model reads text"):
        ChatRequest.model_validate({**CHAT, "messages": [{"role": "user", "content": content}]})
