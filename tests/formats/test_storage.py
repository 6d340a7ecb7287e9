"""The storage formats against ggml's Python reference (`gguf.quants`)."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checkpoint.ggml_types import GGML_TYPES
from headrace.errors import UnsupportedFormatError
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import FORMATS, storage_format

WRITTEN = [name for name, each in FORMATS.items() if each.encode is not None]
BLOCKS = st.tuples(st.integers(1, 9), st.integers(1, 5))
SEEDS = st.integers(0, 2**32)


def typed(name: str, raw: np.ndarray) -> np.ndarray:
    """Bytes as the reference wants them."""
    return raw.view({"f32": np.float32, "f16": np.float16}.get(name, np.uint8))


def reference(name: str, raw: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return quants.dequantize(typed(name, raw), GGMLQuantizationType[name.upper()])


def normal(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", FORMATS)
def test_block_sizes_are_those_of_ggml(name: str) -> None:
    code = int(GGMLQuantizationType[name.upper()])
    known, format = GGML_TYPES[code], FORMATS[name]
    assert (known.name, known.block, known.block_bytes) == (name, format.block, format.block_bytes)


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=30, deadline=None)
@given(blocks=BLOCKS, seed=SEEDS, scale=st.sampled_from([1e-6, 0.02, 1.0, 300.0]))
def test_quantise_rounds_as_ggml(
    name: str, blocks: tuple[int, int], seed: int, scale: float
) -> None:
    values = normal((blocks[0], 32 * blocks[1]), seed) * np.float32(scale)
    values[0, : values.shape[1] // 2] = 0
    got = FORMATS[name].quantise(values)
    expected = quants.quantize(values, GGMLQuantizationType[name.upper()]).view(np.uint8)
    assert got.shape == (len(values), FORMATS[name].row_bytes(values.shape[1]))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=20, deadline=None)
@given(blocks=BLOCKS, seed=SEEDS)
def test_what_is_written_dequantises_as_ggml(name: str, blocks: tuple[int, int], seed: int) -> None:
    values = normal((blocks[0], 32 * blocks[1]), seed)
    raw = FORMATS[name].quantise(values)
    got = FORMATS[name].dequantise(raw, values.shape[1])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, reference(name, raw))


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=20, deadline=None)
@given(blocks=BLOCKS, seed=SEEDS)
def test_random_codes_dequantise_exactly(name: str, blocks: tuple[int, int], seed: int) -> None:
    format = FORMATS[name]
    cols = blocks[1] * format.block
    raw = random_matrix(np.random.default_rng(seed), format, blocks[0], cols, 0.02)
    got = format.dequantise(raw, cols)
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got.view(np.uint32), reference(name, raw).view(np.uint32))


@pytest.mark.parametrize("name", FORMATS)
def test_any_bytes_dequantise_as_ggml(name: str) -> None:
    """Scales that are infinite or NaN too; the payload of a NaN says nothing."""
    format = FORMATS[name]
    raw = np.random.default_rng(1).integers(0, 256, (64, format.row_bytes(512)), np.uint8)
    np.testing.assert_array_equal(format.dequantise(raw, 512), reference(name, raw))


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 5), cols=st.integers(1, 700), seed=SEEDS)
def test_a_ragged_row_is_the_start_of_a_whole_one(
    name: str, rows: int, cols: int, seed: int
) -> None:
    format = FORMATS[name]
    raw = random_matrix(np.random.default_rng(seed), format, rows, cols)
    whole = -(-cols // format.block) * format.block
    assert raw.shape == (rows, format.row_bytes(cols)) == (rows, format.row_bytes(whole))
    got = format.dequantise(raw, cols)
    assert got.shape == (rows, cols)
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, format.dequantise(raw, whole)[:, :cols])


@pytest.mark.parametrize("name", WRITTEN)
def test_a_ragged_row_is_filled_up_with_zeros(name: str) -> None:
    values = normal((3, 45), 3)
    padding = np.zeros((3, -45 % FORMATS[name].block), np.float32)
    padded = np.concatenate([values, padding], axis=1)
    got = FORMATS[name].quantise(values)
    np.testing.assert_array_equal(got, FORMATS[name].quantise(padded))


@pytest.mark.parametrize("name", FORMATS)
def test_a_non_contiguous_slice_of_rows_dequantises(name: str) -> None:
    format = FORMATS[name]
    raw = random_matrix(np.random.default_rng(2), format, 8, 256)
    whole = format.dequantise(raw, 256)
    np.testing.assert_array_equal(format.dequantise(raw[::2], 256), whole[::2])


def test_many_rows_decode_in_pieces() -> None:
    format = FORMATS["q5_k"]
    raw = random_matrix(np.random.default_rng(4), format, 300, 512)
    rows = [format.dequantise(row[None], 512) for row in raw]
    np.testing.assert_array_equal(format.dequantise(raw, 512), np.concatenate(rows))


def test_bf16_keeps_nan_and_infinity() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)
    format = FORMATS["bf16"]
    np.testing.assert_array_equal(format.dequantise(format.quantise(values), 4), values)


def test_which_formats_take_8_bit_activations() -> None:
    floating = {name for name, each in FORMATS.items() if not each.integer}
    assert floating == {"f32", "f16", "bf16"}


def test_a_format_that_is_only_read_says_so() -> None:
    with pytest.raises(UnsupportedFormatError, match="reads q4_k, but does not write it"):
        FORMATS["q4_k"].quantise(np.zeros((1, 256), np.float32))


def test_an_unknown_format_is_refused_with_the_list() -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        storage_format("q3_x")
    assert "q4_0" in (caught.value.hint or "")
    assert "int4_gG_S" in (caught.value.hint or "")
