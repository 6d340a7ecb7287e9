"""Products of packed weights with activations, and the way activations enter them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.codegen.layout import pack_rows
from headrace.codegen.product import product
from headrace.codegen.quantise import quantise_row
from headrace.codegen.tile_format import TILE_COLS, TILE_ROWS, tile_format
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import storage_format
from tests.codegen.arm import PROCESSORS
from tests.codegen.native import EVERY_LOWERING, TARGETS, Library, build, marks
from tests.codegen.test_layout import FORMATS

#: What is compiled plainly too: each kind of step, and the conversions that a target may lack.
PLAIN = ("f16", "iq4_nl", "f8_g64")
#: What is quick where it is emulated.
QUICK = (("i8mm", "q4_0"), ("dotprod", "iq4_nl"), ("neon", "q6_k"))
NARROW = [
    *(("plain", name) for name in PLAIN),
    *(("avx2", name) for name in (*PLAIN, "q4_0", "q6_k", "q8_0")),
    ("avx512bw", "q4_0"),
    ("avx512bw", "q8_0"),
    ("ssse3", "q8_0"),
    ("ssse3", "iq4_nl"),
]
EMULATED = [
    pytest.param(processor, name, marks=marks(processor, slow=(processor, name) not in QUICK))
    for processor in PROCESSORS
    for name in FORMATS
]
CASES = [*(("special", name) for name in FORMATS), *NARROW, *EMULATED]

Floats = NDArray[np.float32]
EPSILON = 2.0**-24


@cache
def library(lowering: str, name: str) -> Library:
    kernel = partial(product, format=tile_format(name))
    return build(TARGETS[lowering], lambda m, f: kernel(m, features=f))


@cache
def quantiser(lowering: str) -> Library:
    return build(TARGETS[lowering], quantise_row)


@dataclass(frozen=True)
class Activations:
    """Rows as they enter products; for float32, `values` alone has meaning."""

    values: NDArray[np.generic]
    scales: Floats
    sums: NDArray[np.int32]
    offsets: Floats

    def row(self, token: int) -> Activations:
        own = slice(token, token + 1)
        return Activations(self.values[own], self.scales[own], self.sums[own], self.offsets[own])

    def exact(self) -> NDArray[np.float64]:
        """The numbers that they stand for."""
        if self.values.dtype == np.float32:
            return self.values.astype(np.float64)
        blocks = self.values.reshape(len(self.values), -1, TILE_COLS).astype(np.float64)
        return (blocks * self.scales[..., None]).reshape(len(self.values), -1)


def quantised(lowering: str, x: Floats) -> Activations:
    """Every row of `[T, 32 n]` by the kernel."""
    tokens, blocks = len(x), x.shape[1] // TILE_COLS
    values, sums = np.zeros(x.shape, np.int8), np.zeros((tokens, blocks, 2), np.int32)
    scales, offsets = np.zeros((2, tokens, blocks), np.float32)
    for token in range(tokens):
        rows = x[token], values[token], scales[token], sums[token], offsets[token]
        quantiser(lowering).call("quantise_row", *rows, blocks)
    return Activations(values, scales, sums, offsets)


def entered(lowering: str, name: str, x: Floats) -> Activations:
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % TILE_COLS)))
    if tile_format(name).activation == "q8":
        return quantised(lowering, padded)
    none = np.zeros((len(x), 1), np.float32)
    return Activations(padded, none, none.astype(np.int32), none)


def multiply(lowering: str, name: str, tiles: NDArray[np.uint8], x: Activations) -> Floats:
    """`[T, 32 tiles]`, from rows of results that are further apart than they are long."""
    rows, blocks = TILE_ROWS * tiles.shape[0], x.values.shape[1] // TILE_COLS
    y = np.full((len(x.values), rows + 5), np.nan, np.float32)
    inputs = x.values, x.scales, x.sums, x.offsets, blocks
    function = library(lowering, name)
    function.call(f"product_{name}", tiles, *inputs, y, tiles.shape[0], *y.shape)
    assert np.isnan(y[:, rows:]).all()
    return y[:, :rows]


def check(lowering: str, name: str, rows: int, cols: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored = storage_format(name)
    raw = random_matrix(rng, stored, rows, cols)
    tiles = pack_rows(tile_format(name), raw, cols)
    x = entered(lowering, name, rng.standard_normal((tokens, cols)).astype(np.float32))
    y = multiply(lowering, name, tiles, x)
    weights, inputs = stored.dequantise(raw, cols).astype(np.float64), x.exact()[:, :cols]
    # One accumulator a row: at most `cols` roundings (of a block's factors too), each relative to a
    # partial sum that the sum of magnitudes bounds.
    magnitudes = np.abs(weights)
    if tile_format(name).has_minimum:
        # The values and the minimum are added apart, and cancel in part. In whole blocks of random
        # codes the largest value is not far below either.
        whole = stored.dequantise(raw, -(-cols // stored.block) * stored.block)
        magnitudes = np.full_like(weights, 3 * np.abs(whole).max())
    bound = (cols + 4) * EPSILON * (np.abs(inputs) @ magnitudes.T + 1e-30)
    assert (np.abs(y[:, :rows] - inputs @ weights.T) <= bound).all()
    assert not y[:, rows:].any()
    alone = [multiply(lowering, name, tiles, x.row(token)) for token in range(tokens)]
    assert np.array_equal(np.concatenate(alone), y)


@pytest.mark.parametrize(("lowering", "name"), CASES)
@settings(max_examples=10, deadline=None)
@given(
    rows=st.integers(1, 100),
    cols=st.integers(1, 600),
    tokens=st.integers(1, 30),
    seed=st.integers(0, 2**32),
)
def test_product(lowering: str, name: str, rows: int, cols: int, tokens: int, seed: int) -> None:
    check(lowering, name, rows, cols, tokens, seed)


@pytest.mark.parametrize(("lowering", "name"), [*NARROW, *EMULATED])
def test_lowerings_agree_in_every_bit(lowering: str, name: str) -> None:
    rng = np.random.default_rng(0)
    raw = random_matrix(rng, storage_format(name), 50, 96)
    tiles = pack_rows(tile_format(name), raw, 96)
    x = rng.standard_normal((17, 96)).astype(np.float32)
    both = "special", lowering
    first, second = (multiply(each, name, tiles, entered(each, name, x)) for each in both)
    assert np.array_equal(first, second)


@pytest.mark.parametrize(("lowering", "name"), CASES)
def test_no_tokens_write_nothing(lowering: str, name: str) -> None:
    raw = random_matrix(np.random.default_rng(0), storage_format(name), 32, 32)
    x = entered(lowering, name, np.ones((0, 32), np.float32))
    assert multiply(lowering, name, pack_rows(tile_format(name), raw, 32), x).shape == (0, 32)


@pytest.mark.parametrize("lowering", EVERY_LOWERING)
@settings(max_examples=40, deadline=None)
@given(blocks=st.integers(1, 9), size=st.integers(-30, 30), seed=st.integers(0, 2**32))
def test_quantise_row(lowering: str, blocks: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((1, 32 * blocks)) * 2.0**size).astype(np.float32)
    found = quantised(lowering, x)
    groups = x.reshape(blocks, 32)
    largest = np.abs(groups).max(axis=1)
    scales = largest * np.float32(1 / 127)
    assert np.array_equal(found.scales[0], scales)
    inverse = np.float32(127) / largest
    values = np.rint(groups * inverse[:, None]).astype(np.int8)
    assert np.array_equal(found.values.reshape(blocks, 32), values)
    halves = values.reshape(blocks, 2, 16).sum(axis=2, dtype=np.int32)
    assert np.array_equal(found.sums[0], halves)
    assert np.array_equal(found.offsets[0], scales * halves.sum(axis=1).astype(np.float32))
    assert np.abs(found.values).max() == 127


@pytest.mark.parametrize("lowering", EVERY_LOWERING)
def test_quantise_row_of_zeros_and_ties(lowering: str) -> None:
    x = np.zeros((1, 64), np.float32)
    x[0, 32:37] = 127, 0.5, 1.5, -2.5, -127
    found = quantised(lowering, x)
    assert not found.values[0, :32].any()
    assert found.scales[0].tolist() == [0, 1]
    assert found.values[0, 32:37].tolist() == [127, 0, 2, -2, -127]
