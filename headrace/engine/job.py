"""What a `Service` is asked for, and what it tells: plain data that can go to another process."""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.engine.choice.choice import Choice

EndReason = Literal["stop", "length", "cancelled", "deadline", "invalid", "error"]
"""`stop`: a stop token, or a grammar that is complete; `length`: `max_tokens` or the end of the
context; `cancelled`: by `cancel` or `close`; `deadline`: its seconds were over;
`invalid`: what was asked for cannot go on, as a grammar that no token satisfies."""

RefusalKind = Literal["queue_full", "context", "invalid", "closing"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One sequence to be generated.

    Attributes:
        id: unique among those under way.
        tokens: the prompt.
        max_tokens, temperature, top_k, top_p, min_p, seed: as `headrace.engine.request.Request`.
        ignore_stops: whether it goes on past the model's stop tokens.
        stop_tokens: others that end it.
        choice: what makes the host choose the tokens; None: the native program does.
        client: sequences of different clients get equal shares.
        seconds: after so many it ends, wherever it is; None: never.
    """

    id: str
    tokens: list[int]
    max_tokens: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    ignore_stops: bool = False
    stop_tokens: tuple[int, ...] = ()
    choice: Choice | None = None
    client: str = ""
    seconds: float | None = None


class TokenLogprobs(msgspec.Struct, frozen=True):
    """A token's log-probability, and the likeliest tokens' in its place."""

    token: int
    logprob: float
    top: list[tuple[int, float]]


class Usage(msgspec.Struct, frozen=True):
    """What a sequence took.

    Attributes:
        cached_tokens: of the prompt, whose keys and values were there already.
        generated_tokens: without the stop token.
        queue_seconds: until the first of it was fed. prefill_seconds: from then to the first token.
        decode_seconds: from the first token to the last.
        preemptions: how often it had to wait for KV blocks and was computed anew.
    """

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float
    preemptions: int


class Tokens(msgspec.Struct, frozen=True, tag="tokens"):
    """All tokens of a sequence since the last event, without the stop token.

    logprobs: of each token, where the job asked for them.
    """

    id: str
    tokens: list[int]
    logprobs: list[TokenLogprobs] | None = None


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A sequence's last event."""

    id: str
    reason: EndReason
    message: str | None
    usage: Usage


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A job's only event: it was not begun.

    retry_after_seconds: when there will probably be room, where the queue is full.
    """

    id: str
    kind: RefusalKind
    message: str
    retry_after_seconds: float | None = None


class Embedded(msgspec.Struct, frozen=True, tag="embedded"):
    """The embedding of a text, and its only event.

    vector: f32 `[features]`, of length 1. tokens: of the text.
    """

    id: str
    vector: bytes
    tokens: int


Event = Tokens | Ended | Refused | Embedded


class ServiceStats(msgspec.Struct, frozen=True):
    """What a service does and has done.

    Attributes:
        running, waiting: sequences with and without a slot.
        blocks_total, blocks_used, blocks_cached: KV blocks; cached ones are not in use.
        prefix_queries, prefix_hits: tokens of prompts, and those that were there already.
        preemptions: how often a sequence gave way to others.
        schedules, steps: that the native program has done.
        prompt_tokens, generated_tokens: of all sequences so far.
    """

    running: int
    waiting: int
    blocks_total: int
    blocks_used: int
    blocks_cached: int
    prefix_queries: int
    prefix_hits: int
    preemptions: int
    schedules: int
    steps: int
    prompt_tokens: int
    generated_tokens: int


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: queue: jobs that may wait while all slots are taken. slots: sequences at once."""

    queue: int = 256
    slots: int = 64
