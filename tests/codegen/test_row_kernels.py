"""Operators on rows, and rows of embeddings, against NumPy; what lies beyond a row is NaN."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from numpy.typing import NDArray

from headrace.checkpoint.formats import FORMATS, storage_format
from headrace.codegen.layout import TILE_COLS
from headrace.codegen.row_kernels import add_row, copy_row, norm_row, pad_row, rotate_row
from headrace.codegen.rows import dequantise_row
from headrace.codegen.tile import Emitter, Value
from headrace.errors import UnsupportedFormatError
from tests.codegen.native import LOWERINGS, TARGETS, Kernel, Library, body, build

Floats = NDArray[np.float32]
COUNTS = (1, 8, 16, 40, 64, 97)
EPSILON = 1e-5
GUARD = 32


def guarded(values: Floats) -> Floats:
    """The values with NaN after them."""
    return np.concatenate([values, np.full(GUARD, np.nan, np.float32)])


def random_row(seed: int, count: int, index: int = 0) -> Floats:
    return np.random.default_rng([seed, index]).standard_normal(count).astype(np.float32)


def norm_kernel(count: int, offset: float) -> Kernel:
    def write(e: Emitter, source: Value, weight: Value, out: Value) -> None:
        norm_row(e, source, weight, out, count, EPSILON, offset)

    return body(f"norm_{count}_{offset:.0f}", 3, write)


def rotate_kernel(pairs: int) -> Kernel:
    def write(e: Emitter, *places: Value) -> None:
        rotate_row(e, *places, pairs)

    return body(f"rotate_{pairs}", 4, write)


def simple_kernels(count: int) -> list[Kernel]:
    whole = -(-count // TILE_COLS) * TILE_COLS
    return [
        body(f"copy_{count}", 2, lambda e, x, y: copy_row(e, x, y, count)),
        body(f"add_{count}", 2, lambda e, x, y: add_row(e, y, x, count)),
        body(f"pad_{count}", 2, lambda e, x, y: pad_row(e, x, y, count, whole)),
    ]


def embedding_kernel(format: str, cols: int) -> Kernel:
    def kernel(module: ir.Module, features: frozenset[str]) -> ir.Function:
        return dequantise_row(module, features, format, cols)

    return kernel


def embedding_cols(format: str) -> tuple[int, ...]:
    return (32, 96) if storage_format(format).block > 1 else (8, 32, 45)


def kernels() -> list[Kernel]:
    return [
        *(norm_kernel(count, offset) for count in COUNTS for offset in (0.0, 1.0)),
        *(rotate_kernel(count) for count in COUNTS),
        *(kernel for count in COUNTS for kernel in simple_kernels(count)),
        *(embedding_kernel(name, cols) for name in FORMATS for cols in embedding_cols(name)),
    ]


@cache
def library(lowering: str) -> Library:
    return build(TARGETS[lowering], *kernels())


pytestmark = pytest.mark.parametrize("lowering", LOWERINGS)
seeds = st.integers(0, 2**32)
counts = st.sampled_from(COUNTS)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, count=counts, offset=st.sampled_from([0, 1]))
def test_norm(lowering: str, seed: int, count: int, offset: int) -> None:
    x, weight = random_row(seed, count), random_row(seed, count, 1)
    out = np.full(count + GUARD, np.nan, np.float32)
    library(lowering).call(f"norm_{count}_{offset}", guarded(x), guarded(weight), out)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt(np.mean(wide**2) + EPSILON) * (weight.astype(np.float64) + offset)
    # Roundings of the sum over at most 97 / 16 + 4 steps, of root, quotient, gain and products.
    assert np.allclose(out[:count], expected, rtol=16 * 2.0**-24, atol=2.0**-23)
    assert np.isnan(out[count:]).all()


@settings(max_examples=40, deadline=None)
@given(seed=seeds, pairs=counts)
def test_rotation(lowering: str, seed: int, pairs: int) -> None:
    x, angles = random_row(seed, 2 * pairs), random_row(seed, pairs, 1)
    cosines, sines = np.cos(angles), np.sin(angles)
    out = np.full(2 * pairs + GUARD, np.nan, np.float32)
    library(lowering).call(f"rotate_{pairs}", guarded(x), out, guarded(cosines), guarded(sines))
    low, high = x[:pairs], x[pairs:]
    expected = np.concatenate([low * cosines - high * sines, high * cosines + low * sines])
    assert np.array_equal(out[: 2 * pairs], expected)
    assert np.isnan(out[2 * pairs :]).all()


@settings(max_examples=20, deadline=None)
@given(seed=seeds, count=counts)
def test_copy_add_and_pad(lowering: str, seed: int, count: int) -> None:
    x, y = random_row(seed, count), random_row(seed, count, 1)
    copied, added = np.full(count + GUARD, np.nan, np.float32), guarded(y)
    library(lowering).call(f"copy_{count}", guarded(x), copied)
    library(lowering).call(f"add_{count}", guarded(x), added)
    assert np.array_equal(copied, guarded(x), equal_nan=True)
    assert np.array_equal(added, guarded(y + x), equal_nan=True)
    whole = -(-count // TILE_COLS) * TILE_COLS
    padded = np.full(whole + GUARD, np.nan, np.float32)
    library(lowering).call(f"pad_{count}", guarded(x), padded)
    assert np.array_equal(padded, guarded(np.pad(x, (0, whole - count))), equal_nan=True)


@pytest.mark.parametrize("format", FORMATS)
def test_embedding_rows_are_exact(lowering: str, format: str) -> None:
    stored = storage_format(format)
    for cols in embedding_cols(format):
        raw = stored.quantise(10 * random_row(cols, 3 * cols).reshape(3, cols))
        out = np.full((3, cols + GUARD), np.nan, np.float32)
        for row in range(3):
            library(lowering).call(f"dequantise_{format}_{cols}", raw[row], out[row])
        expected = stored.dequantise(raw, cols)
        # q4_1 adds scale * value and minimum: one rounding more than NumPy's at most.
        assert np.allclose(
            out[:, :cols], expected, rtol=2.0**-22 if format == "q4_1" else 0, atol=0
        )
        assert np.isnan(out[:, cols:]).all()


def test_an_unknown_embedding_format(lowering: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="q6_k"):
        build(TARGETS[lowering], embedding_kernel("q6_k", 32))
