"""A prompt's tokens, checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.engine.request import is_integer
from headrace.errors import ContextLengthError, RequestError


def check_tokens(
    ids: Sequence[int], vocabulary: int, context: int, where: str = "prompt"
) -> NDArray[np.int32]:
    """A prompt's tokens as an array `[T]`.

    Args:
        where: what errors call it.

    Raises:
        RequestError: there are none, or one is not a token of the vocabulary.
        ContextLengthError: there are more than the context holds.
    """
    if len(ids) == 0:
        raise RequestError("the prompt has no tokens", where=where)
    if len(ids) > context:
        raise ContextLengthError(
            f"the prompt has {len(ids)} tokens and the context holds {context}",
            where=where,
            hint="shorten the prompt, or load the model with a larger context if it has one",
        )
    for at, token in enumerate(ids):
        if not is_integer(token) or not 0 <= token < vocabulary:
            raise RequestError(
                f"{token!r} is not a token: they are integers from 0 to {vocabulary - 1}",
                where=f"{where}[{at}]",
            )
    return np.asarray(ids, np.int32)
