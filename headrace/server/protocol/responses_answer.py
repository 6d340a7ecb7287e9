"""What `/v1/responses` answers."""

from __future__ import annotations

from typing import Any, Literal

from headrace.server.protocol.base import Shown
from headrace.server.protocol.usage import PromptTokens, Timings


class OutputTextPart(Shown):
    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class ReasoningTextPart(Shown):
    type: Literal["reasoning_text"]
    text: str


class OutputMessage(Shown):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputTextPart]


class OutputCall(Shown):
    id: str
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    status: Literal["in_progress", "completed", "incomplete"]


class OutputReasoning(Shown):
    id: str
    type: Literal["reasoning"]
    summary: list[Any]
    content: list[ReasoningTextPart]
    status: Literal["in_progress", "completed", "incomplete"]


class IncompleteDetails(Shown):
    reason: Literal["max_output_tokens"]


class OutputTokens(Shown):
    reasoning_tokens: int


class ResponseUsage(Shown):
    input_tokens: int
    input_tokens_details: PromptTokens
    output_tokens: int
    output_tokens_details: OutputTokens
    total_tokens: int


class ResponseShown(Shown):
    """An answer; `timings` is an extension."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    model: str
    output: list[OutputMessage | OutputCall | OutputReasoning]
    incomplete_details: IncompleteDetails | None
    usage: ResponseUsage | None
    timings: Timings | None = None
    store: Literal[False]
