"""Tokens that a request brings: are there any, does the model know them, is there room."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.errors import ContextLengthError, RequestError
from headrace.server.link.client import EngineClient


def require_fitting(engine: EngineClient, tokens: Sequence[int], what: str, where: str) -> None:
    """Let through what the engine can read.

    Args:
        what: what the tokens are, as an error calls them.
        where: the field that they came in.

    Raises:
        ContextLengthError: there are more than the context holds.
        RequestError: there are none, or one that the vocabulary has not.
    """
    if not tokens:
        raise RequestError(f"the {what} has no tokens", where=where)
    if len(tokens) > engine.context:
        raise ContextLengthError(
            f"the {what} has {len(tokens)} tokens and the context holds {engine.context}",
            where=where,
            hint=f"shorten the {what}: headrace never cuts one by itself",
        )
    require_known(engine, tokens, where)


def require_known(engine: EngineClient, tokens: Sequence[int], where: str) -> None:
    """Let through what is in the vocabulary.

    Raises:
        RequestError: a token is not.
    """
    unknown = max(tokens, default=0)
    if unknown >= engine.vocabulary:
        raise RequestError(
            f"{unknown} is not a token: they go from 0 to {engine.vocabulary - 1}", where=where
        )
