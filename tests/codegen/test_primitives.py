"""What machines do specially: all lowerings of each primitive have one meaning."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from numpy.typing import NDArray

from headrace.codegen.primitives import (
    bfloat_to_float,
    broadcast_bytes,
    dot_u8s8,
    float_to_half,
    half_to_float,
    look_up,
)
from headrace.codegen.tile import (
    F32,
    I8,
    I16,
    I32,
    I64,
    LANES,
    PTR,
    Emitter,
    Value,
    function,
    vector,
)
from tests.codegen.native import EVERY_PRODUCT, TARGETS, Kernel, Library, body, build

pytestmark = pytest.mark.parametrize("lowering", EVERY_PRODUCT)


def convert(name: str, source: ir.Type, target: ir.Type, compute: object) -> Kernel:
    """The kernel `(in, out, count)` that converts vectors of numbers."""

    def kernel(module: ir.Module, features: frozenset[str]) -> ir.Function:
        e, (values, out, count) = function(module, name, [PTR, PTR, I64], features)
        with e.range(0, count, LANES) as index:
            value = e.load(e.offset(values, index, source), vector(source))
            e.store(compute(e, value), e.offset(out, index, target))
        e.give()
        return e.function

    return kernel


def dot_kernel(largest: int) -> Kernel:
    def write(e: Emitter, total: Value, unsigned: Value, signed: Value) -> None:
        left, right = (e.load(each, vector(I8, 64)) for each in (unsigned, signed))
        e.store(dot_u8s8(e, e.load(total, vector(I32)), left, right, largest), total)

    return body(f"dot_{largest}", 3, write)


#: Of codes: the largest that 16 bits can be enough for, and all.
LARGEST = (15, 127, 128, 255)
TABLE = tuple(range(255, -1, -17))


def looked_up(e: Emitter, codes: Value, out: Value) -> None:
    e.store(look_up(e, TABLE, e.load(codes, vector(I8, 64))), out)


def broadcast(e: Emitter, four: Value, out: Value) -> None:
    e.store(broadcast_bytes(e, four), out)


@cache
def library(lowering: str) -> Library:
    return build(
        TARGETS[lowering],
        convert("widen", I16, F32, half_to_float),
        convert("narrow", F32, I16, float_to_half),
        convert("bfloat", I16, F32, bfloat_to_float),
        *map(dot_kernel, LARGEST),
        body("look_up", 2, looked_up),
        body("broadcast", 2, broadcast),
    )


def all_halves() -> NDArray[np.uint16]:
    return np.arange(1 << 16, dtype=np.uint16)


def test_half_to_float_for_every_finite_half(lowering: str) -> None:
    bits = all_halves()
    found = np.empty(bits.size, np.float32)
    library(lowering).call("widen", bits, found, bits.size)
    exact = bits.view(np.float16).astype(np.float32)
    finite = np.isfinite(exact)
    assert np.array_equal(found[finite].view(np.uint32), exact[finite].view(np.uint32))


def test_bfloat_to_float_for_every_pattern(lowering: str) -> None:
    bits = all_halves()
    found = np.empty(bits.size, np.float32)
    library(lowering).call("bfloat", bits, found, bits.size)
    assert np.array_equal(found.view(np.uint32), bits.astype(np.uint32) << 16)


def narrowed(lowering: str, values: NDArray[np.float32]) -> NDArray[np.uint16]:
    padded = np.pad(values, (0, -values.size % LANES))
    found = np.empty(padded.size, np.uint16)
    library(lowering).call("narrow", padded, found, padded.size)
    return found[: values.size]


def test_float_to_half_gives_every_finite_half_back(lowering: str) -> None:
    bits = all_halves()
    values = bits.view(np.float16).astype(np.float32)
    finite = np.isfinite(values)
    assert np.array_equal(narrowed(lowering, values[finite]), bits[finite])


def test_float_to_half_rounds_to_nearest_even(lowering: str) -> None:
    positive = np.arange(0x7BFF, dtype=np.uint16)
    low = positive.view(np.float16).astype(np.float32)
    high = (positive + 1).view(np.float16).astype(np.float32)
    middle = (low + high) / 2  # exact in float32
    cases = [middle, np.nextafter(middle, low), np.nextafter(middle, high)]
    values = np.concatenate([*cases, *(-each for each in cases)])
    expected = values.astype(np.float16).view(np.uint16)
    assert np.array_equal(narrowed(lowering, values), expected)


def test_float_to_half_bounds_what_is_too_large(lowering: str) -> None:
    values = np.array([65504, 65519, 65520, 1e9, np.inf, -65520, -np.inf], np.float32)
    found = narrowed(lowering, values).view(np.float16)
    assert np.array_equal(found, np.sign(values) * 65504)


def dots(
    lowering: str,
    largest: int,
    total: NDArray[np.int32],
    unsigned: NDArray[np.uint8],
    signed: NDArray[np.int8],
) -> NDArray[np.int32]:
    result = total.copy()
    library(lowering).call(f"dot_{largest}", result, unsigned, signed)
    return result


@pytest.mark.parametrize("unsigned", [0, 1, 127, 128, 255])
@pytest.mark.parametrize("signed", [-128, -127, -1, 0, 127])
def test_dot_does_not_saturate(lowering: str, unsigned: int, signed: int) -> None:
    total = np.arange(16, dtype=np.int32) - 8
    for largest in (each for each in LARGEST if each >= unsigned):
        left, right = np.full(64, unsigned, np.uint8), np.full(64, signed, np.int8)
        found = dots(lowering, largest, total, left, right)
        assert np.array_equal(found, total + 4 * unsigned * signed)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), largest=st.sampled_from(LARGEST))
def test_dot_of_random_bytes(lowering: str, seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    total = rng.integers(-(2**30), 2**30, 16, np.int32)
    unsigned = rng.integers(0, largest, 64, np.uint8, endpoint=True)
    signed = rng.integers(-128, 127, 64, np.int8, endpoint=True)
    products = unsigned.astype(np.int32) * signed
    expected = total + products.reshape(16, 4).sum(1, dtype=np.int32)
    assert np.array_equal(dots(lowering, largest, total, unsigned, signed), expected)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_look_up(lowering: str, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 16, 64, np.uint8)
    found = np.empty_like(codes)
    library(lowering).call("look_up", codes, found)
    assert np.array_equal(found, np.array(TABLE, np.uint8)[codes])


def test_broadcast_repeats_four_bytes(lowering: str) -> None:
    four, found = np.array([1, 200, 3, 255], np.uint8), np.empty(64, np.uint8)
    library(lowering).call("broadcast", four, found)
    assert np.array_equal(found, np.tile(four, 16))
