"""The KV cache's blocks: who uses which, and which are kept for prompts that begin the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from headrace.runtime.schedule import KV_BLOCK


def blocks_for(tokens: int) -> int:
    """Blocks that hold the entries of so many tokens."""
    return -(-tokens // KV_BLOCK)


class BlockPool:
    """Hands out blocks 0 .. count - 1, and finds those again whose entries are known by a key.

    A block is *in use* by one sequence or several; *kept* when nobody uses it but it has a key;
    else *free*. Free ones go out first, what came back last before the others: it may be in a
    cache. Then kept ones do, those that were used longest ago first.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(reversed(range(count)))
        self._users: Counter[int] = Counter()
        self._kept: dict[int, None] = {}  # in the order in which they came to be unused
        self._keys: dict[int, bytes] = {}
        self._by_key: dict[bytes, int] = {}

    @property
    def available(self) -> int:
        """Blocks that nobody uses."""
        return len(self._free) + len(self._kept)

    @property
    def used(self) -> int:
        return self.count - self.available

    @property
    def kept(self) -> int:
        """Blocks that nobody uses and that can be found by their keys."""
        return len(self._kept)

    def take(self, count: int) -> list[int] | None:
        """That many blocks, of which the caller is the only user; None if there are not enough."""
        if count > self.available:
            return None
        return [self._take_one() for _ in range(count)]

    def give(self, blocks: Iterable[int]) -> None:
        """Stop using blocks, each as often as it is named.

        Of those with keys the first given are the first to be lost: give the last of a sequence
        first, they are of no use without the others.
        """
        for block in blocks:
            self._users[block] -= 1
            if self._users[block]:
                continue
            del self._users[block]
            if block in self._keys:
                self._kept[block] = None
            else:
                self._free.append(block)

    def find(self, key: bytes) -> int | None:
        """The block with a key, which the caller now uses, too."""
        block = self._by_key.get(key)
        if block is not None:
            self._kept.pop(block, None)
            self._users[block] += 1
        return block

    def name(self, block: int, key: bytes) -> None:
        """Say what the entries of a block in use are; nothing happens if another has the key."""
        if key not in self._by_key:
            self._by_key[key] = block
            self._keys[block] = key

    def _take_one(self) -> int:
        if self._free:
            block = self._free.pop()
        else:
            block = next(iter(self._kept))
            del self._kept[block]
            del self._by_key[self._keys.pop(block)]
        self._users[block] = 1
        return block
