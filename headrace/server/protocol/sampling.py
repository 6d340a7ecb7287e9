"""How tokens are drawn: the fields that chat, completions and responses share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from headrace.engine.choice.choice import LEAST_REPETITION, MOST_BIASES, MOST_REPETITION
from headrace.server.protocol.base import (
    INT32,
    INT63,
    LONGEST_STOP,
    MOST_STOPS,
    Body,
    Name,
    TokenId,
)

StopText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_STOP)]
Stop = StopText | Annotated[list[StopText], Field(max_length=MOST_STOPS)]
BiasKey = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}$")]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Repetition = Annotated[float, Field(ge=LEAST_REPETITION, le=MOST_REPETITION)]
Limit = Annotated[int, Field(ge=1, lt=INT32)]


class Drawn(Body):
    """Fields of every request that generates text.

    `top_k`, `min_p`, `repetition_penalty`, `ignore_eos`, `stop_token_ids` are extensions, named as
    in vLLM. temperature 0 takes the likeliest token each time.
    """

    model: Name
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=INT32)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-INT63, le=INT63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Repetition | None = None
    logit_bias: Annotated[dict[BiasKey, Bias], Field(max_length=MOST_BIASES)] | None = None
    ignore_eos: bool | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=64)] | None = None
    user: Annotated[str, StringConstraints(max_length=1024)] | None = None


def stop_texts(stop: str | list[str] | None) -> tuple[str, ...]:
    """The strings that end an answer."""
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)
