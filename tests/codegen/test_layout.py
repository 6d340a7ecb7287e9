"""Packed tiles hold the same numbers as the stored rows, in the order of consumption."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.codegen.layout import pack_rows
from headrace.codegen.tile_format import (
    SCALE_BYTES,
    TILE_COLS,
    TILE_FORMATS,
    TILE_ROWS,
    TileFormat,
    tile_format,
)
from headrace.errors import UnsupportedFormatError
from headrace.formats.codebooks import half_e8m0
from headrace.formats.floats import decode_bf16, decode_e4m3, decode_f16, decode_f32
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import storage_format

GROUPS = ("int4_g32_f16", "int4_g128_bf16", "int4_g64_f32z", "int8_g128_f16z", "int8_g32_bf16")
FORMATS = (*TILE_FORMATS, *GROUPS, "f8_g128", "f8_g32")

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

DECODE = {"f32": decode_f32, "f16": decode_f16, "bf16": decode_bf16, "e8m0": half_e8m0}


def unpack(format: TileFormat, packed: Bytes) -> Floats:
    """The numbers of `[tiles, blocks, block_bytes]`, read as the layout's description says."""
    end = format.parts * format.part_bytes
    parts = packed[..., :end].reshape(*packed.shape[:2], format.parts, format.part_bytes)
    rest = packed[..., end:]
    values = np.stack(
        [
            [
                np.concatenate([numbers(format, part, rest[t, b]) for part in parts[t, b]], axis=1)
                for b in range(packed.shape[1])
            ]
            for t in range(packed.shape[0])
        ]
    )
    return values.transpose(0, 2, 1, 3).reshape(packed.shape[0] * TILE_ROWS, -1)


def numbers(format: TileFormat, part: Bytes, rest: Bytes) -> Floats:
    """`[32, 32]` numbers of one part of a block; `rest` is what follows the block's parts."""
    if format.scale is None:
        stored = storage_format(format.name).dequantise(part[None], TILE_ROWS * TILE_COLS)
        return stored.reshape(TILE_COLS, TILE_ROWS).T
    size = SCALE_BYTES[format.scale]
    raw = rest[: TILE_ROWS * size].reshape(TILE_ROWS, size)
    scale = DECODE[format.scale](raw.copy())
    shift = rest[TILE_ROWS * size :]
    if format.kind == "float":
        return decode_e4m3(part.reshape(TILE_COLS, TILE_ROWS)).T * scale
    codes = [[code(format, part, row, column) for column in range(TILE_COLS)] for row in range(32)]
    whole = np.array(codes, np.float32)
    if format.shift == "zero point":
        return (whole - shift.astype(np.float32)[:, None]) * scale
    whole -= format.zero
    minimum = np.zeros((32, 1), np.float32)
    if format.has_minimum:
        minimum = decode_f16(shift.reshape(TILE_ROWS, 2).copy())
    if format.shift == "subtracted":
        minimum = -minimum
    if format.factors is None:
        return whole * scale + minimum
    factors = np.array([factors_of(format, part, row) for row in range(32)], np.float32)
    width, count = format.factors.cols, format.groups
    scales = np.repeat(factors[:, :count], width, axis=1) * scale
    if format.has_minimum:
        minimum = np.repeat(factors[:, count:], width, axis=1) * minimum
    return np.asarray(whole * scales + minimum, np.float32)


def code(format: TileFormat, part: Bytes, row: int, column: int) -> int:
    """The code of one number, bit by bit from its planes."""
    found = bit = 0
    half, group = row // 16, column // 4
    for width in format.planes:
        register, place = divmod(group, 8 // width)
        byte = 128 * bit + 64 * (2 * register + half) + 4 * (row % 16) + column % 4
        found |= (int(part[byte]) >> (place * width) & ((1 << width) - 1)) << bit
        bit += width
    return format.codebook[found] if format.codebook else found


def factors_of(format: TileFormat, part: Bytes, row: int) -> list[int]:
    """The integer factors of one row in one part: scales, then minima."""
    factors = format.factors
    assert factors is not None
    bytes = [int(each) for each in part[128 * format.bits :]]
    half = 4 * (row // 16)
    if factors.bits == 8:
        found = [bytes[32 * index + row] for index in range(factors.count)]
    elif factors.bits == 4:
        pairs = [bytes[32 * index + row] for index in range(2)]
        found = [*(pair & 15 for pair in pairs), *(pair >> 4 for pair in pairs)]
    elif factors.count == 2:
        upper = bytes[32 + row % 16] >> half
        found = [bytes[row] & 15 | (upper & 3) << 4, bytes[row] >> 4 | (upper >> 2 & 3) << 4]
    else:
        upper = bytes[16 + row % 8] >> 2 * (row // 8) & 3
        found = [bytes[row % 16] >> half & 15 | upper << 4]
    if factors.signed:
        found = [each - 256 if each > 127 else each for each in found]
    return [each - factors.zero for each in found]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 70), cols=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_tiles_hold_the_stored_numbers(name: str, rows: int, cols: int, seed: int) -> None:
    stored, format = storage_format(name), tile_format(name)
    raw = random_matrix(np.random.default_rng(seed), stored, rows, cols)
    packed = pack_rows(format, raw, cols)
    assert packed.shape == (-(-rows // TILE_ROWS), format.blocks(cols), format.block_bytes)
    assert packed.size == packed.shape[0] * format.tile_bytes(cols)
    whole = unpack(format, packed)
    # A product and a sum in float32, each rounded once wherever it is not exact.
    expected = stored.dequantise(raw, cols)
    largest = np.abs(expected).max()
    assert np.allclose(whole[:rows, :cols], expected, rtol=2.0**-22, atol=largest * 2.0**-22)
    assert not whole[rows:].any()


@pytest.mark.parametrize("name", FORMATS)
def test_formats_keep_their_bits(name: str) -> None:
    stored, format = storage_format(name), tile_format(name)
    assert format.block_bytes == TILE_ROWS * stored.row_bytes(format.cols)
    assert format.activation == ("q8" if stored.integer else "f32")


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(UnsupportedFormatError, match="q6_x") as caught:
        tile_format("q6_x")
    assert all(name in str(caught.value) for name in TILE_FORMATS)
