"""What a benchmark asks of another engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

#: A prompt's tokens.
Tokens = Sequence[int]


class Peer(Protocol):
    """An engine that holds one model, with our number of threads; asleep unless it is asked.

    Attributes:
        name: as people know it. version: of its package. setting: which of its own settings was
            the fastest for this work; empty if there is no choice.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def setting(self) -> str: ...

    def prefill(self, tokens: Tokens) -> float:
        """Seconds for a prompt from an empty cache, to its last token's logits."""
        ...

    def decode(self, prompts: Sequence[Tokens], steps: int) -> float:
        """Seconds of `steps` steps of one token for each prompt; reading them is not timed."""
        ...
