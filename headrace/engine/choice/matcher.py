"""Where one answer is in its grammar."""

from __future__ import annotations

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from headrace.errors import RequestError


class Matcher:
    """The tokens that may come next, and whether the grammar is at its end.

    known: tokens of the tokenizer. vocabulary: logits of the model; the two may differ.
    """

    def __init__(self, matcher: LLMatcher, known: int, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._bytes = _words(known) * 4
        self._mask = np.zeros(max(_words(known), _words(vocabulary)), np.uint32)

    @property
    def finished(self) -> bool:
        """Whether nothing but a stop token may follow."""
        return self._matcher.is_stopped()

    @property
    def accepting(self) -> bool:
        """Whether the answer may end here."""
        return self._matcher.is_accepting()

    def allowed(self) -> NDArray[np.bool_]:
        """bool `[V]`: the tokens that may come next, stop tokens among them where it may end.

        Raises:
            RequestError: the grammar has become too complex, or no token goes on.
        """
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._bytes)
        bits = np.unpackbits(self._mask.view(np.uint8), count=self._vocabulary, bitorder="little")
        if self._matcher.is_error() or not self._mask.any():
            raise self._failure("no token may follow")
        return bits.view(np.bool_)

    def take(self, token: int) -> None:
        """Go on by a token.

        Raises:
            RequestError: it may not follow.
        """
        if not self._matcher.consume_token(token):
            raise self._failure(f"token {token} may not follow")

    def _failure(self, otherwise: str) -> RequestError:
        reason = self._matcher.get_error().split("\n")[0]
        return RequestError(
            f"the answer cannot go on within its grammar: {reason or otherwise}",
            where="grammar",
            hint="use a simpler grammar or schema",
        )


def _words(tokens: int) -> int:
    """Words of 32 bits that have one for each token."""
    return -(-tokens // 32)
