"""How many tokens are multiplied together from registers, and how any number is divided."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from headrace.codegen.tile import I64, Emitter, Value
from headrace.codegen.tile_format import Form


@dataclass(frozen=True, slots=True)
class TokenBlocks:
    """Sizes of blocks of tokens, largest first and down to 1.

    held: up to this size the float32 totals stay in registers, beyond it in memory.
    halves: how many halves of a tile's rows are summed at once, 1 or 2.
    tiles: one token is multiplied with so many tiles at once, at most.
    """

    sizes: tuple[int, ...]
    held: int
    halves: int
    tiles: int


def token_blocks(features: frozenset[str], activation: Form) -> TokenBlocks:
    """What a target's registers hold: AVX-512 has 32 of 16 lanes, others half of that or less."""
    if "avx512f" not in features:
        return TokenBlocks((4, 2, 1), 1, 1, 2)
    return TokenBlocks((12, 8, 6, 4, 3, 2, 1), 6 if activation == "q8" else 12, 2, 4)


@cache
def first_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The size of the block to take first for 0, 1, .. twice the largest size tokens (0: none).

    The number of blocks is the least, because weights are unpacked once a block, and then the
    largest block is the smallest. More tokens are taken as the last entry says.
    """
    chosen: list[tuple[int, ...]] = [()]
    for tokens in range(1, 2 * sizes[0] + 1):
        ways = (
            (size, *chosen[tokens - size])
            for size in sizes
            if size <= tokens and size >= max(chosen[tokens - size], default=0)
        )
        chosen.append(min(ways, key=lambda way: (len(way), way[0])))
    return tuple(way[0] if way else 0 for way in chosen)


class BlockSizes:
    """The sizes as code: a constant table."""

    def __init__(self, e: Emitter, sizes: tuple[int, ...]) -> None:
        first = first_sizes(sizes)
        self._e, self._most = e, e.i64(len(first) - 1)
        self._table = e.table(first, "block_sizes")

    def of(self, left: Value) -> Value:
        """The size of the next block when `left` tokens are left."""
        return self._e.load(
            self._e.offset(self._table, self._e.minimum(left, self._most), I64), I64
        )


class BlockWalk:
    """Follows rows 0, 1, .. of `count` in a loop: the block that holds the current one.

    first, size: of the block; they are values of where `enter` was emitted.
    """

    def __init__(self, e: Emitter, count: Value, sizes: tuple[int, ...]) -> None:
        self._e, self._count, self._sizes = e, count, BlockSizes(e, sizes)
        self._first, self._size = e.variable(e.i64(0)), e.variable(e.i64(0))

    def enter(self, row: Value) -> None:
        """Come to the next row."""
        with self._e.when(row.equals(self._first.get() + self._size.get())):
            self._first.set(row)
            self._size.set(self._sizes.of(self._count - row))

    @property
    def first(self) -> Value:
        return self._first.get()

    @property
    def size(self) -> Value:
        return self._size.get()
