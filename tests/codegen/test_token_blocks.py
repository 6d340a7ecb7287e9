"""How tokens are divided into blocks, and the code that follows it."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.codegen.tile import I64, Emitter, Value
from headrace.codegen.token_blocks import BlockWalk, first_sizes, token_blocks
from tests.codegen.native import TARGETS, body, build

SIZES = sorted(
    {token_blocks(each.special, form).sizes for each in TARGETS.values() for form in ("q8", "f32")}
)


def divided(tokens: int, sizes: tuple[int, ...]) -> list[int]:
    first, found = first_sizes(sizes), list[int]()
    while sum(found) < tokens:
        found.append(first[min(tokens - sum(found), len(first) - 1)])
    return found


def fewest(tokens: int, sizes: tuple[int, ...]) -> int:
    best = [0]
    for count in range(1, tokens + 1):
        best.append(1 + min(best[count - size] for size in sizes if size <= count))
    return best[tokens]


@pytest.mark.parametrize("sizes", SIZES)
@given(tokens=st.integers(0, 300))
def test_blocks_are_the_fewest_and_largest_first(sizes: tuple[int, ...], tokens: int) -> None:
    found = divided(tokens, sizes)
    assert sum(found) == tokens
    assert found == sorted(found, reverse=True)
    assert len(found) == fewest(tokens, sizes)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_walk_knows_the_block_of_each_row(sizes: tuple[int, ...]) -> None:
    def write(e: Emitter, out: Value, count: Value) -> None:
        walk = BlockWalk(e, count, sizes)
        with e.range(0, count) as row:
            walk.enter(row)
            for index, value in enumerate((walk.first, walk.size)):
                e.store(value, e.offset(out, row * 2 + index, I64))

    library = build(TARGETS["special"], body("walk", 1, write, counts=1))
    for tokens in (0, 1, 7, 31, 100):
        out = np.zeros((tokens, 2), np.int64)
        library.call("walk", out, tokens)
        blocks = divided(tokens, sizes)
        ends = accumulate(blocks)
        expected = [
            [end - size, size] for end, size in zip(ends, blocks, strict=True) for _ in range(size)
        ]
        assert out.tolist() == expected
