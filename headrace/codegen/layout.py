"""How weights lie in a worker's stream: tiles of 32 rows, in blocks of a format's columns.

A block keeps the bits of its storage format: its parts of 32 columns, then 32 scales, then 32
minima or zero points, as stored. Rows beyond the matrix are zero. In a part, in the order of
consumption:

- floats: for each column, the 32 rows;
- integers: the planes of the codes, the lowest bits first, then the groups' factors. A plane of w
  bits is w times two registers of 64 bytes, one for each half (16 rows). Byte 4 r + c belongs to
  row r of the half; its bits from w k on belong to column 4 g + c, with g = k + (8 / w) * pair of
  registers. So low nibbles hold columns 8 j .. 8 j + 3 and high nibbles columns 8 j + 4 .. 8 j + 7.
- factors of 8 bits: for each, the 32 rows; four of 4 bits: two times 32 bytes, the scales low and
  the minima high; two of 6 bits: their low nibbles in 32 bytes, then their upper bits in 16 bytes,
  rows r and r + 16 in one; one of 6 bits: low nibbles of rows r and r + 16 in 16 bytes, then upper
  bits of rows r, r + 8, r + 16 and r + 24 in 8 bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headrace.codegen.tile_format import TILE_COLS, TILE_ROWS, TileFormat
from headrace.formats.fields import fields

Bytes = NDArray[np.uint8]

_HALF = TILE_ROWS // 2


def pack_rows(format: TileFormat, raw: Bytes, cols: int) -> Bytes:
    """Rows as stored, `[rows, row_bytes]`, as tiles `[tiles, blocks, block_bytes]`."""
    rows = -raw.shape[0] % TILE_ROWS
    padded = np.pad(raw, ((0, rows), (0, 0))) if rows else raw
    if format.kind == "integer":
        return _pack_integers(format, padded, cols)
    return _pack_floats(format, padded, cols)


def _pack_floats(format: TileFormat, raw: Bytes, cols: int) -> Bytes:
    blocks, size, row_block = format.blocks(cols), format.bits // 8, format.block_bytes // TILE_ROWS
    whole = np.pad(raw, ((0, 0), (0, blocks * row_block - raw.shape[1])))
    tiles = whole.reshape(-1, TILE_ROWS, blocks, row_block)
    scale = row_block - format.cols * size
    packed = np.empty((len(tiles), blocks, format.block_bytes), np.uint8)
    values = _items(tiles[..., scale:], size)
    end = TILE_ROWS * format.cols * size
    packed[..., :end] = _bytes_of(values.transpose(0, 2, 3, 1), end)
    scales = _items(tiles[..., :scale], scale) if scale else tiles[..., :0]
    packed[..., end:] = _bytes_of(scales.transpose(0, 2, 3, 1), TILE_ROWS * scale)
    return packed


def _items(raw: Bytes, size: int) -> NDArray[np.unsignedinteger]:
    """Bytes as numbers of `size` bytes, which are moved as a whole."""
    kinds = {1: np.uint8, 2: np.uint16, 4: np.uint32}
    return np.ascontiguousarray(raw).view(kinds[size])


def _bytes_of(items: NDArray[np.unsignedinteger], size: int) -> Bytes:
    """Numbers in their order as bytes, `size` of them for each entry of the first two axes."""
    return np.ascontiguousarray(items).view(np.uint8).reshape(*items.shape[:2], size)


def _pack_integers(format: TileFormat, raw: Bytes, cols: int) -> Bytes:
    blocks = format.blocks(cols)
    tiles, parts = raw.shape[0] // TILE_ROWS, format.parts
    held = fields(format.name, raw.reshape(raw.shape[0] * blocks, -1))
    packed = np.empty((tiles, blocks, format.block_bytes), np.uint8)
    body = packed[..., : parts * format.part_bytes]
    inner = body.reshape(tiles, blocks, parts, format.part_bytes)
    codes = held.codes.reshape(tiles, 2, _HALF, blocks, parts, TILE_COLS)
    start = _write_planes(format, codes, inner)
    if format.factors is not None:
        factors = held.factors.reshape(tiles, TILE_ROWS, blocks, parts, format.factors.count)
        order = _FACTORS[format.factors.bits, format.factors.count]
        inner[..., start:] = order(factors.transpose(0, 2, 3, 4, 1))
    packed[..., : parts * format.part_bytes] = inner.reshape(body.shape)
    start = parts * format.part_bytes
    for part in (held.scale, held.shift):
        end = start + TILE_ROWS * part.shape[1]
        if part.shape[1]:
            rows = _items(part, part.shape[1]).reshape(tiles, TILE_ROWS, blocks)
            packed[..., start:end] = _bytes_of(rows.transpose(0, 2, 1), end - start)
        start = end
    return packed


def _write_planes(format: TileFormat, codes: Bytes, inner: Bytes) -> int:
    """The planes of codes `[tiles, 2, 16 rows, blocks, parts, 32]`; gives the bytes they take."""
    fours = np.ascontiguousarray(codes).view(np.uint32)
    bit = start = 0
    for width in format.planes:
        plane = _plane(fours, bit, width)
        end = start + plane.shape[-1]
        inner[..., start:end] = plane
        bit, start = bit + width, end
    return start


def _plane(fours: NDArray[np.uint32], bit: int, width: int) -> Bytes:
    """`[tiles, blocks, parts, bytes]`: `width` bits of the codes from `bit` on, in our order.

    fours: four columns in a number; bits are moved within their bytes.
    """
    tiles, _, _, blocks, parts, _ = fours.shape
    mask = np.uint32(((1 << width) - 1) * 0x01010101)
    groups = fours.reshape(tiles, 2, _HALF, blocks, parts, width, 8 // width)
    joined = (groups[..., 0] >> np.uint32(bit)) & mask
    for place in range(1, 8 // width):
        bits = (groups[..., place] >> np.uint32(bit)) & mask
        joined |= bits << np.uint32(place * width)
    ordered = np.ascontiguousarray(joined.transpose(0, 3, 4, 5, 1, 2))
    return ordered.view(np.uint8).reshape(tiles, blocks, parts, -1)


def _whole_bytes(factors: Bytes) -> Bytes:
    return factors.reshape(*factors.shape[:3], -1)


def _nibble_pairs(factors: Bytes) -> Bytes:
    joined = factors[..., :2, :] | (factors[..., 2:, :] << np.uint8(4))
    return joined.reshape(*factors.shape[:3], -1)


def _six_bit_pairs(factors: Bytes) -> Bytes:
    low = (factors[..., 0, :] & np.uint8(15)) | (factors[..., 1, :] << np.uint8(4))
    upper = (factors[..., 0, :] >> np.uint8(4)) | (
        (factors[..., 1, :] >> np.uint8(2)) & np.uint8(12)
    )
    high = upper[..., :_HALF] | (upper[..., _HALF:] << np.uint8(4))
    return np.concatenate([low, high], axis=-1)


def _six_bits(factors: Bytes) -> Bytes:
    (each,) = np.moveaxis(factors, 3, 0)
    low = (each[..., :_HALF] & np.uint8(15)) | (each[..., _HALF:] << np.uint8(4))
    upper = (each >> np.uint8(4)).reshape(*each.shape[:-1], 4, 8)
    high = upper[..., 0, :]
    for place in range(1, 4):
        high = high | (upper[..., place, :] << np.uint8(2 * place))
    return np.concatenate([low, high], axis=-1)


#: Factors `[tiles, blocks, parts, count, 32 rows]` → bytes, by their bits and their count.
_FACTORS: dict[tuple[int, int], Callable[[Bytes], Bytes]] = {
    (8, 2): _whole_bytes,
    (4, 4): _nibble_pairs,
    (6, 2): _six_bit_pairs,
    (6, 1): _six_bits,
}
