"""`/v1/completions`: text goes on, without a conversation around it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headrace.server.protocol.base import (
    MOST_CHOICES,
    MOST_INPUTS,
    MOST_LOGPROBS,
    Refused,
    Shown,
    Text,
    TokenIds,
    refuse,
)
from headrace.server.protocol.chat import StreamOptions
from headrace.server.protocol.sampling import Drawn, Limit, Stop
from headrace.server.protocol.structure import Guided, ResponseFormat
from headrace.server.protocol.usage import Timings, Usage

UNSUPPORTED = (
    Refused("suffix", "filling in before a suffix is not supported"),
    Refused("best_of", "best_of is not supported: every choice is returned", (1,)),
    Refused("use_beam_search", "beam search is not supported"),
    Refused("min_tokens", "a least number of tokens is not supported", (0,)),
    Refused("bad_words", "bad words are not supported"),
    Refused("prompt_logprobs", "log-probabilities of the prompt are not supported", (False,)),
    Refused("truncate_prompt_tokens", "prompts are never truncated"),
    Refused("prompt_embeds", "prompts are text or tokens"),
    Refused("grammar", "GBNF is not supported: structured_outputs.grammar takes Lark"),
    Refused("json_schema", "a schema goes into response_format"),
)

Prompt = (
    Text
    | TokenIds
    | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    | Annotated[list[TokenIds], Field(min_length=1, max_length=MOST_INPUTS)]
)


class CompletionRequest(Drawn, Guided):
    """A text, or tokens, to go on with; a list of them gives as many answers, n of each."""

    prompt: Prompt
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stop: Stop | None = None
    max_tokens: Limit | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    echo: bool | None = None
    response_format: ResponseFormat | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: object) -> object:
        return refuse(data, UNSUPPORTED)


class CompletionLogprobs(Shown):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(Shown):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class Completion(Shown):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage
    timings: Timings
