"""The KV cache's blocks: which are free, and who has the others."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.runtime.schedule import KV_BLOCK


def blocks_for(tokens: int) -> int:
    """Blocks that hold the entries of so many tokens."""
    return -(-tokens // KV_BLOCK)


class BlockPool:
    """Hands out blocks 0 .. count - 1; what came back last goes out first: it may be in a cache."""

    def __init__(self, count: int) -> None:
        self._free = list(reversed(range(count)))

    @property
    def free(self) -> int:
        """Blocks that nobody has."""
        return len(self._free)

    def take(self, count: int) -> list[int] | None:
        """That many blocks, or None if there are not enough."""
        if count > len(self._free):
            return None
        return [self._free.pop() for _ in range(count)]

    def give(self, blocks: Iterable[int]) -> None:
        """Take blocks back."""
        self._free.extend(blocks)
