"""A sequence under way: its prompt, what was generated, and how far the KV cache knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.engine.generation import FinishReason
from headrace.runtime.schedule import Sampling, Segment


@dataclass(slots=True, eq=False)
class SequenceState:
    """One request on its way through the engine.

    Attributes:
        prompt: int32 `[T]`. limit: tokens to generate at most, so that all fit the context.
        stops: tokens that end it.
        slot, blocks: its place in the native program and in the KV cache, while it has one.
        fed: tokens whose keys and values are in the KV cache.
        produced: what was generated, a stop token included.
    """

    prompt: NDArray[np.int32]
    limit: int
    sampling: Sampling
    stops: tuple[int, ...]
    slot: int = -1
    blocks: list[int] = field(default_factory=list[int])
    fed: int = 0
    produced: list[int] = field(default_factory=list[int])
    finish_reason: FinishReason | None = None

    @property
    def positions(self) -> int:
        """Entries that it may come to have: the last token needs none."""
        return len(self.prompt) + self.limit - 1

    @property
    def unread(self) -> int:
        """Tokens of the prompt that have not been fed."""
        return max(len(self.prompt) - self.fed, 0)

    def take(self, token: int) -> None:
        """Note a token that was generated."""
        self.produced.append(token)
        if token in self.stops:
            self.finish_reason = "stop"
        elif len(self.produced) == self.limit:
            self.finish_reason = "length"

    def segment(self, count: int) -> Segment:
        """The next `count` tokens of its prompt, or the token that was generated last."""
        start = self.fed
        if self.unread:
            tokens = self.prompt[start : start + count]
        else:
            tokens = np.array(self.produced[-1:], np.int32)
        last = start + len(tokens) >= len(self.prompt)
        outputs = np.array([len(tokens) - 1] if last else [], np.int32)
        left = self.limit - len(self.produced)
        return Segment(self.slot, tokens, start, outputs, left, self.sampling, self.stops)

    def was_fed(self, segment: Segment) -> None:
        """A schedule with this segment has ended."""
        self.fed = segment.start + len(segment.tokens)
        if self.produced:  # all that came after it but the last token was fed too
            self.fed = len(self.prompt) + len(self.produced) - 1
