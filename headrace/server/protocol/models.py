"""`/v1/models`."""

from __future__ import annotations

from typing import Literal

from headrace.server.protocol.base import Shown


class ModelShown(Shown):
    """A model; `max_model_len` is an extension: tokens that its context holds."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int


class ModelList(Shown):
    object: Literal["list"]
    data: list[ModelShown]
