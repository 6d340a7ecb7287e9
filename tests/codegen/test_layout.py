"""Packed tiles hold the same numbers as the stored rows, in the order of consumption."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.checkpoint.formats import storage_format
from headrace.codegen.layout import TILE_COLS, TILE_FORMATS, TILE_ROWS, pack_rows, tile_format
from headrace.errors import UnsupportedFormatError

FLOATS = ("f16", "bf16", "f32")
QUANTISED = ("q4_0", "q4_1", "q8_0")


def unpack(name: str, packed: NDArray[np.uint8], rows: int, cols: int) -> NDArray[np.float32]:
    """The numbers of `[tiles, blocks, block_bytes]`, read as the layout's description says."""
    blocks = packed.reshape(-1, packed.shape[-1])
    read = _unpack_floats if name in FLOATS else _unpack_quantised
    values = read(name, blocks).reshape(*packed.shape[:2], TILE_ROWS, TILE_COLS)
    whole = values.transpose(0, 2, 1, 3).reshape(packed.shape[0] * TILE_ROWS, -1)
    assert not whole[rows:].any()
    assert not whole[:, cols:].any()
    return whole[:rows, :cols]


def _unpack_floats(name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = storage_format(name).dequantise(blocks, TILE_ROWS * TILE_COLS)
    return values.reshape(-1, TILE_COLS, TILE_ROWS).swapaxes(1, 2)


def _unpack_quantised(name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    format = tile_format(name)
    size = TILE_ROWS * TILE_COLS * format.bits // 8
    values, rest = blocks[:, :size], np.ascontiguousarray(blocks[:, size:]).view(np.float16)
    # [blocks, halves, groups of four columns, 16 rows, 4 columns]
    if format.bits == 4:
        groups = values.reshape(-1, 2, 4, 16, 4)
        groups = np.stack([groups & 15, groups >> 4], axis=3)
        groups = groups.reshape(-1, 2, 8, 16, 4)
    else:
        groups = values.reshape(-1, 2, 8, 16, 4)
    numbers = groups.transpose(0, 1, 3, 2, 4).reshape(-1, TILE_ROWS, TILE_COLS)
    parameters = rest.astype(np.float32).reshape(len(blocks), format.scales, TILE_ROWS, 1)
    result = (numbers.astype(np.float32) - format.zero) * parameters[:, 0]
    return result + parameters[:, 1] if format.scales == 2 else result


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from([*FLOATS, *QUANTISED]), rows=st.integers(1, 100))
def test_tiles_hold_the_stored_numbers(data: st.DataObject, name: str, rows: int) -> None:
    cols = data.draw(st.integers(1, 130) if name in FLOATS else st.sampled_from([32, 64, 160]))
    stored = storage_format(name)
    values = np.random.default_rng(rows * cols).standard_normal((rows, cols)).astype(np.float32)
    raw = stored.quantise(values)
    packed = pack_rows(tile_format(name), raw, cols)
    format = tile_format(name)
    assert packed.shape == (-(-rows // TILE_ROWS), -(-cols // TILE_COLS), format.block_bytes)
    assert packed.size == packed.shape[0] * format.tile_bytes(cols)
    assert np.array_equal(unpack(name, packed, rows, cols), stored.dequantise(raw, cols))


@pytest.mark.parametrize("name", QUANTISED)
def test_formats_keep_their_bits(name: str) -> None:
    stored = storage_format(name)
    assert tile_format(name).block_bytes == TILE_ROWS * stored.row_bytes(TILE_COLS)


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(UnsupportedFormatError, match="q6_k") as caught:
        tile_format("q6_k")
    assert all(name in str(caught.value) for name in TILE_FORMATS)
