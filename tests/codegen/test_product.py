"""Products of packed weights with activations, and the way activations enter them."""

from __future__ import annotations

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
from headrace.codegen.token_blocks import first_sizes, token_blocks
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


#: A record of 8-bit activations; see `headrace.codegen.activations`.
RECORD = np.dtype(
    [("values", "i1", TILE_COLS), ("scale", "f4"), ("sum", "i4"), ("half", "i4"), ("offset", "f4")]
)
FLOATS = np.dtype([("values", "f4", TILE_COLS)])
Records = NDArray[np.void]


def exact(records: Records) -> NDArray[np.float64]:
    """`[T, cols]`: the numbers that records `[T, blocks]` stand for."""
    values = records["values"].astype(np.float64)
    if records.dtype == RECORD:
        values *= records["scale"][..., None]
    return values.reshape(len(records), -1)


def quantised(lowering: str, x: Floats) -> Records:
    """Every row of `[T, 32 n]` by the kernel, `[T, n]`."""
    records = np.zeros((len(x), x.shape[1] // TILE_COLS), RECORD)
    for row, out in zip(x, records, strict=True):
        quantiser(lowering).call("quantise_row", row, out, out.size, RECORD.itemsize)
    return records


def entered(lowering: str, name: str, x: Floats) -> Records:
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % TILE_COLS)))
    if tile_format(name).activation == "q8":
        return quantised(lowering, padded)
    return padded.view(FLOATS)


def in_blocks(lowering: str, name: str, records: Records) -> Records:
    """Records in the order in which products read them."""
    form = tile_format(name).activation
    sizes = first_sizes(token_blocks(TARGETS[lowering].special, form).sizes)
    done, parts = 0, [records[:0].ravel()]
    while done < len(records):
        size = sizes[min(len(records) - done, len(sizes) - 1)]
        parts.append(records[done : done + size].T.ravel())
        done += size
    return np.concatenate(parts)


def multiply(lowering: str, name: str, tiles: NDArray[np.uint8], x: Records) -> Floats:
    """`[T, 32 tiles]`, from rows of results that are further apart than they are long."""
    rows, inputs = TILE_ROWS * tiles.shape[0], in_blocks(lowering, name, x)
    y = np.full((len(x), rows + 5), np.nan, np.float32)
    function = library(lowering, name)
    function.call(f"product_{name}", tiles, inputs, x.shape[1], y, tiles.shape[0], *y.shape)
    assert np.isnan(y[:, rows:]).all()
    return y[:, :rows]


def check(lowering: str, name: str, rows: int, cols: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored = storage_format(name)
    raw = random_matrix(rng, stored, rows, cols)
    tiles = pack_rows(tile_format(name), raw, cols)
    x = entered(lowering, name, rng.standard_normal((tokens, cols)).astype(np.float32))
    y = multiply(lowering, name, tiles, x)
    weights, inputs = stored.dequantise(raw, cols).astype(np.float64), exact(x)[:, :cols]
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
    alone = [multiply(lowering, name, tiles, x[token : token + 1]) for token in range(tokens)]
    assert np.array_equal(np.concatenate(alone), y)


@pytest.mark.parametrize(("lowering", "name"), CASES)
@settings(max_examples=10, deadline=None)
@given(
    rows=st.integers(1, 300),
    cols=st.integers(1, 600),
    tokens=st.integers(1, 40),
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
    (found,) = quantised(lowering, x)
    groups = x.reshape(blocks, 32)
    largest = np.abs(groups).max(axis=1)
    scales = largest * np.float32(1 / 127)
    assert np.array_equal(found["scale"], scales)
    inverse = np.float32(127) / largest
    values = np.rint(groups * inverse[:, None]).astype(np.int8)
    assert np.array_equal(found["values"], values)
    sums = values.sum(axis=1, dtype=np.int32)
    assert np.array_equal(found["sum"], -sums)
    assert np.array_equal(found["half"], -values[:, :16].sum(axis=1, dtype=np.int32))
    assert np.array_equal(found["offset"], scales * sums.astype(np.float32))
    assert np.abs(found["values"]).max() == 127


@pytest.mark.parametrize("lowering", EVERY_LOWERING)
def test_quantise_row_of_zeros_and_ties(lowering: str) -> None:
    x = np.zeros((1, 64), np.float32)
    x[0, 32:37] = 127, 0.5, 1.5, -2.5, -127
    (found,) = quantised(lowering, x)
    assert not found["values"][0].any()
    assert found["scale"].tolist() == [0, 1]
    assert found["values"][1, :5].tolist() == [127, 0, 2, -2, -127]
