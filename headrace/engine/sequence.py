"""A sequence under way: its prompt, what was generated, and how far the KV cache knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.engine.generation import FinishReason
from headrace.engine.prefix import block_key
from headrace.runtime.schedule import KV_BLOCK, Sampling, Segment


@dataclass(slots=True, eq=False)
class SequenceState:
    """One request on its way through the engine.

    Attributes:
        prompt: int32 `[T]`. limit: tokens to generate at most, so that all fit the context.
        stops: tokens that end it.
        client: who asks for it.
        hosted: the host chooses its tokens from its logits; else the native program does.
        slot, blocks: its place in the native program and in the KV cache, while it has one.
        fed: tokens whose keys and values are in the KV cache.
        produced: what was generated, a stop token included.
        choosing: its logits have been computed, and the host has not chosen yet.
        cached: tokens of the prompt that were in the KV cache already.
        preemptions: how often it had to give its blocks away and was computed anew.
        order: its number among those that have run; the higher, the younger.
        keys: of its full blocks, as far as they have been needed.
    """

    prompt: NDArray[np.int32]
    limit: int
    sampling: Sampling
    stops: tuple[int, ...]
    client: str = ""
    hosted: bool = False
    slot: int = -1
    blocks: list[int] = field(default_factory=list[int])
    fed: int = 0
    produced: list[int] = field(default_factory=list[int])
    finish_reason: FinishReason | None = None
    choosing: bool = False
    cached: int = 0
    preemptions: int = 0
    order: int = -1
    keys: list[bytes] = field(default_factory=list[bytes])

    @property
    def known(self) -> int:
        """Tokens that there are: of the prompt, and generated."""
        return len(self.prompt) + len(self.produced)

    @property
    def positions(self) -> int:
        """Entries that it may come to have: the last token needs none."""
        return len(self.prompt) + self.limit - 1

    @property
    def unread(self) -> int:
        """Tokens that have not been fed; of a sequence that decodes it is the last one."""
        return self.known - self.fed

    @property
    def decodes(self) -> bool:
        """Whether feeding one token gives the next."""
        return self.unread == 1

    def take(self, token: int) -> None:
        """Note a token that was generated."""
        self.produced.append(token)
        if token in self.stops:
            self.finish_reason = "stop"
        elif len(self.produced) == self.limit:
            self.finish_reason = "length"

    def tokens(self, start: int, end: int) -> NDArray[np.int32]:
        """Tokens by position, of the prompt and generated."""
        length = len(self.prompt)
        if end <= length:
            return self.prompt[start:end]
        generated = self.produced[max(start - length, 0) : end - length]
        return np.concatenate([self.prompt[start:], np.array(generated, np.int32)])

    def segment(self, count: int) -> Segment:
        """The next `count` tokens that have not been fed, or as many as there are."""
        start = self.fed
        end = min(start + count, self.known)
        outputs = np.array([end - start - 1] if end == self.known else [], np.int32)
        left = self.limit - len(self.produced)
        sampling = Sampling() if self.hosted else self.sampling
        tokens = self.tokens(start, end)
        return Segment(self.slot, tokens, start, outputs, left, sampling, self.stops)

    def was_fed(self, segment: Segment) -> None:
        """A schedule with this segment has ended."""
        self.fed = segment.start + len(segment.tokens)
        if len(segment.outputs) and not self.hosted:
            self.fed = max(self.fed, self.known - 1)  # what was generated was fed, but the last

    def key(self, block: int) -> bytes:
        """The key of one of its blocks, all of whose tokens must be known."""
        while len(self.keys) <= block:
            start = len(self.keys) * KV_BLOCK
            before = self.keys[-1] if self.keys else b""
            self.keys.append(block_key(before, self.tokens(start, start + KV_BLOCK)))
        return self.keys[block]
