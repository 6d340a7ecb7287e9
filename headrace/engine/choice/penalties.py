"""Biases and penalties on logits.

Meaning and order are those of vLLM: biases first; then the repetition penalty, for tokens of prompt
and answer; then frequency and presence penalties, for tokens of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.engine.choice.choice import Choice

Floats = NDArray[np.float32]

_ROOM = 64


class Penalties:
    """Changes logits by what a sequence has had so far; `take` tells it of each new token."""

    def __init__(self, choice: Choice, prompt: Sequence[int]) -> None:
        self._repetition = np.float32(choice.repetition_penalty)
        self._frequency = np.float32(choice.frequency_penalty)
        self._presence = np.float32(choice.presence_penalty)
        self._biased = np.fromiter(choice.logit_bias, np.int64, len(choice.logit_bias))
        self._biases = np.fromiter(choice.logit_bias.values(), np.float32, len(choice.logit_bias))
        self._remembers = self._repetition != 1 or self._frequency != 0 or self._presence != 0
        self._places: dict[int, int] = {}
        self._tokens = np.zeros(_ROOM, np.int64)
        self._counts = np.zeros(_ROOM, np.float32)
        if self._repetition != 1:
            for token in set(prompt):
                self._place(int(token))

    @property
    def active(self) -> bool:
        """Whether any logit would change."""
        return self._remembers or self._biased.size > 0

    def take(self, token: int) -> None:
        """Note a token of the answer."""
        if self._remembers:
            place = self._place(token)
            self._counts[place] += 1

    def apply(self, logits: Floats) -> None:
        """Change logits f32 `[V]` in place."""
        logits[self._biased] += self._biases
        if not self._places:
            return
        tokens = self._tokens[: len(self._places)]
        counts = self._counts[: len(self._places)]
        values = logits[tokens]
        values = np.where(values > 0, values / self._repetition, values * self._repetition)
        values -= self._frequency * counts
        values -= self._presence * (counts > 0)
        logits[tokens] = values

    def _place(self, token: int) -> int:
        place = self._places.setdefault(token, len(self._places))
        if place == self._tokens.size:
            self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._tokens[place] = token
        return place
