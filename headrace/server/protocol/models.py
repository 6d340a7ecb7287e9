"""`/v1/models`."""

from __future__ import annotations

from typing import Literal

from headrace.server.protocol.base import Shown


class ModelShown(Shown):
    """A model, with extensions.

    `max_model_len`: tokens that its context holds. `roofline_tokens_per_second`: as many as one
    sequence could have if a token took no longer than to read all weights once; measured when the
    model was loaded.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int
    roofline_tokens_per_second: float


class ModelList(Shown):
    object: Literal["list"]
    data: list[ModelShown]
