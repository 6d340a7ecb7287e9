"""What an answer took, in tokens and in time."""

from __future__ import annotations

from typing import Literal

from headrace.server.protocol.base import Shown

#: Which chunks of a stream tell usage: none, one after the last, or each what there is so far.
UsageTold = Literal["never", "last", "each"]


class PromptTokens(Shown):
    cached_tokens: int


class CompletionTokens(Shown):
    reasoning_tokens: int


class Usage(Shown):
    """Tokens; `cached_tokens` of the prompt were found in the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens
    completion_tokens_details: CompletionTokens | None = None


class Timings(Shown):
    """An extension: where the time went, in milliseconds, and tokens a second."""

    queue_ms: float
    prefill_ms: float
    decode_ms: float
    prompt_per_second: float | None
    predicted_per_second: float | None
