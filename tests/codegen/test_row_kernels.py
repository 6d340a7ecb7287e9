"""Operators on rows against NumPy; what lies beyond a row is NaN."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.codegen.norms import Norm
from headrace.codegen.rotation import copy_rest, rotate_halves, rotate_pairs
from headrace.codegen.row_kernels import add_row, copy_row, pad_row
from headrace.codegen.tile import Emitter, Value
from headrace.codegen.tile_format import TILE_COLS
from tests.codegen.native import EVERY_LOWERING, TARGETS, Kernel, Library, body, build

Floats = NDArray[np.float32]
COUNTS = (1, 8, 16, 40, 64, 97)
EPSILON = 1e-5

#: Rotated pairs of a head, and its features.
ROTATIONS = ((1, 2), (8, 16), (10, 80), (16, 40), (40, 80), (64, 128), (97, 194), (3, 7))
GUARD = 32


def guarded(values: Floats) -> Floats:
    """The values with NaN after them."""
    return np.concatenate([values, np.full(GUARD, np.nan, np.float32)])


def random_row(seed: int, count: int, index: int = 0) -> Floats:
    return np.random.default_rng([seed, index]).standard_normal(count).astype(np.float32)


def norm_kernel(kind: str, count: int, offset: float, weighted: bool) -> Kernel:
    """The kernel `(source, weight, bias, out)`; without weight both vectors are left alone."""
    norm = Norm(count, EPSILON, offset)

    def write(e: Emitter, source: Value, weight: Value, bias: Value, out: Value) -> None:
        factor, addend = (weight, bias) if weighted else (None, None)
        if kind == "rms":
            norm.rms(e, source, factor, out)
        else:
            norm.layer(e, source, factor, addend, out)

    return body(f"{kind}_{count}_{offset:.0f}_{weighted}", 4, write)


def rotate_kernel(style: str, pairs: int, size: int) -> Kernel:
    def write(e: Emitter, source: Value, out: Value, *table: Value) -> None:
        rotate = rotate_pairs if style == "pairs" else rotate_halves
        rotate(e, source, out, *table, pairs)
        copy_rest(e, source, out, 2 * pairs, size)

    return body(f"rotate_{style}_{pairs}_{size}", 4, write)


def simple_kernels(count: int) -> list[Kernel]:
    whole = -(-count // TILE_COLS) * TILE_COLS
    return [
        body(f"copy_{count}", 2, lambda e, x, y: copy_row(e, x, y, count)),
        body(f"add_{count}", 2, lambda e, x, y: add_row(e, y, x, count)),
        body(f"pad_{count}", 2, lambda e, x, y: pad_row(e, x, y, count, whole)),
    ]


def kernels() -> list[Kernel]:
    return [
        *(
            norm_kernel(kind, count, offset, weighted)
            for kind in ("rms", "layer")
            for count in COUNTS
            for offset, weighted in ((0.0, True), (1.0, True), (0.0, False))
        ),
        *(rotate_kernel(style, *each) for style in ("halves", "pairs") for each in ROTATIONS),
        *(kernel for count in COUNTS for kernel in simple_kernels(count)),
    ]


@cache
def library(lowering: str) -> Library:
    return build(TARGETS[lowering], *kernels())


pytestmark = pytest.mark.parametrize("lowering", EVERY_LOWERING)
seeds = st.integers(0, 2**32)
counts = st.sampled_from(COUNTS)


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    kind=st.sampled_from(["rms", "layer"]),
    count=counts,
    factor=st.sampled_from([(0, True), (1, True), (0, False)]),
    shift=st.sampled_from([0.0, 100.0]),
)
def test_norm(
    lowering: str, seed: int, kind: str, count: int, factor: tuple[int, bool], shift: float
) -> None:
    offset, weighted = factor
    x = random_row(seed, count) + np.float32(shift)
    weight, bias = random_row(seed, count, 1), random_row(seed, count, 2)
    out = np.full(count + GUARD, np.nan, np.float32)
    name = f"{kind}_{count}_{offset}_{weighted}"
    library(lowering).call(name, guarded(x), guarded(weight), guarded(bias), out)
    wide = x.astype(np.float64)
    if kind == "layer":
        wide -= wide.mean()
    expected = wide / np.sqrt(np.mean(wide**2) + EPSILON)
    if weighted:
        expected *= weight.astype(np.float64) + offset
        expected += bias if kind == "layer" else 0.0
    # Roundings of the sum over at most 97 / 16 + 4 steps, of root, quotient, gain and products. A
    # layer norm's differences are off by some units of the mean's last place, over a deviation
    # that is 0.1 at least, or (of one feature) 1 / sqrt(epsilon) times.
    deviation = np.sqrt(np.mean(wide**2) + EPSILON)
    lost = 16 * 2.0**-24 * (1 + shift) / deviation * 8 if kind == "layer" else 0.0
    assert np.allclose(out[:count], expected, rtol=16 * 2.0**-24, atol=2.0**-23 + lost)
    assert np.isnan(out[count:]).all()


@settings(max_examples=60, deadline=None)
@given(seed=seeds, style=st.sampled_from(["halves", "pairs"]), rotation=st.sampled_from(ROTATIONS))
def test_rotation(lowering: str, seed: int, style: str, rotation: tuple[int, int]) -> None:
    pairs, size = rotation
    x, angles = random_row(seed, size), random_row(seed, pairs, 1)
    cosines, sines = np.cos(angles), np.sin(angles)
    out = np.full(size + GUARD, np.nan, np.float32)
    name = f"rotate_{style}_{pairs}_{size}"
    library(lowering).call(name, guarded(x), out, guarded(cosines), guarded(sines))
    rotated = x[: 2 * pairs]
    low, high = rotated.reshape(2, -1) if style == "halves" else rotated.reshape(-1, 2).T
    turned = np.stack([low * cosines - high * sines, high * cosines + low * sines])
    expected = x.copy()
    expected[: 2 * pairs] = (turned if style == "halves" else turned.T).reshape(-1)
    assert np.array_equal(out[:size], expected)
    assert np.isnan(out[size:]).all()


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
