"""The storage formats against ggml's Python reference (`gguf.quants`)."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checkpoint.formats import FORMATS, storage_format
from headrace.errors import UnsupportedFormatError

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 5).map(lambda blocks: 32 * blocks))
SEEDS = st.integers(0, 2**32)


def reference(name: str) -> GGMLQuantizationType:
    return GGMLQuantizationType[name.upper()]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=SEEDS, scale=st.sampled_from([1e-6, 0.02, 1.0, 300.0]))
def test_quantise_rounds_as_ggml(
    name: str, shape: tuple[int, int], seed: int, scale: float
) -> None:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * scale
    values = values.astype(np.float32)
    values[0, : shape[1] // 2] = 0
    got = FORMATS[name].quantise(values)
    expected = quants.quantize(values, reference(name)).view(np.uint8)
    assert got.shape == (shape[0], FORMATS[name].row_bytes(shape[1]))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=SEEDS)
def test_dequantise_is_exact(name: str, shape: tuple[int, int], seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    raw = FORMATS[name].quantise(values)
    got = FORMATS[name].dequantise(raw, shape[1])
    assert got.dtype == np.float32
    typed = raw.view({"f32": np.float32, "f16": np.float16}.get(name, np.uint8))
    np.testing.assert_array_equal(got, quants.dequantize(typed, reference(name)))


@pytest.mark.parametrize("name", FORMATS)
def test_all_bytes_dequantise_as_ggml(name: str) -> None:
    format = FORMATS[name]
    rows = np.random.default_rng(1).integers(0, 256, (64, format.row_bytes(128)), np.uint8)
    typed = rows.view({"f32": np.float32, "f16": np.float16}.get(name, np.uint8))
    with np.errstate(invalid="ignore", over="ignore"):
        got, expected = format.dequantise(rows, 128), quants.dequantize(typed, reference(name))
    np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("name", FORMATS)
def test_a_non_contiguous_slice_of_rows_dequantises(name: str) -> None:
    values = np.random.default_rng(2).standard_normal((8, 64)).astype(np.float32)
    raw = FORMATS[name].quantise(values)
    whole = FORMATS[name].dequantise(raw, 64)
    np.testing.assert_array_equal(FORMATS[name].dequantise(raw[::2], 64), whole[::2])


def test_bf16_keeps_nan_and_infinity() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)
    format = FORMATS["bf16"]
    np.testing.assert_array_equal(format.dequantise(format.quantise(values), 4), values)


def test_a_row_that_is_not_whole_blocks_is_refused() -> None:
    with pytest.raises(UnsupportedFormatError, match="33 values cannot be stored as q4_0"):
        FORMATS["q4_0"].row_bytes(33)


def test_an_unknown_format_is_refused_with_the_list() -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        storage_format("q3_x")
    assert "q4_0" in (caught.value.hint or "")
