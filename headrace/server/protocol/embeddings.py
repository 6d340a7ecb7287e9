"""`/v1/embeddings`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headrace.server.protocol.base import (
    MOST_INPUTS,
    Body,
    Name,
    Refused,
    Shown,
    Text,
    TokenIds,
    refuse,
)

UNSUPPORTED = (Refused("dimensions", "shortened embeddings are not supported"),)

Input = (
    Text
    | TokenIds
    | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    | Annotated[list[TokenIds], Field(min_length=1, max_length=MOST_INPUTS)]
)


class EmbeddingRequest(Body):
    """Texts, or their tokens."""

    model: Name
    input: Input
    encoding_format: Literal["float", "base64"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: object) -> object:
        return refuse(data, UNSUPPORTED)


class Embedding(Shown):
    """Numbers, or their float32 bytes (little-endian) in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Shown):
    prompt_tokens: int
    total_tokens: int


class Embeddings(Shown):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
