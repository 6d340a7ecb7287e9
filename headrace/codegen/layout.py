"""How weights lie in a worker's stream: tiles of 32 rows, in blocks of 32 columns.

A block keeps the bits of its storage format: values first, then 32 scales, then (q4_1) 32 minima.
Rows and columns beyond the matrix are zero. The order of values is the order of consumption:

- quantised: for each half (16 rows), groups of four consecutive columns for each of the 16 rows,
  64 bytes; in 4-bit formats the low nibbles hold columns 8j .. 8j + 3 and the high nibbles
  columns 8j + 4 .. 8j + 7. 8-bit values are stored with their sign bit flipped (unsigned).
- float: for each column, the 32 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.formats import storage_format
from headrace.errors import UnsupportedFormatError

TILE_ROWS = 32
TILE_COLS = 32

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TileFormat:
    """One storage format as tiles.

    bits: of one value; scales: number of f16 parameters a row and block (0, 1 or 2);
    zero: what is subtracted from the unsigned value.
    """

    name: str
    bits: int
    scales: int
    zero: int

    @property
    def activation(self) -> Literal["q8", "f32"]:
        """How the other factor enters."""
        return "q8" if self.scales else "f32"

    @property
    def block_bytes(self) -> int:
        """Bytes of one 32 x 32 block."""
        return TILE_ROWS * storage_format(self.name).row_bytes(TILE_COLS)

    def tile_bytes(self, cols: int) -> int:
        """Bytes of one tile of 32 rows."""
        return -(-cols // TILE_COLS) * self.block_bytes


TILE_FORMATS = {
    format.name: format
    for format in (
        TileFormat("q4_0", 4, 1, 8),
        TileFormat("q4_1", 4, 2, 0),
        TileFormat("q8_0", 8, 1, 128),
        TileFormat("f16", 16, 0, 0),
        TileFormat("bf16", 16, 0, 0),
        TileFormat("f32", 32, 0, 0),
    )
}


def tile_format(name: str) -> TileFormat:
    found = TILE_FORMATS.get(name)
    if found is None:
        raise UnsupportedFormatError(
            f"no kernel multiplies weights stored as {name!r}",
            hint=f"one of: {', '.join(TILE_FORMATS)}",
        )
    return found


def pack_rows(format: TileFormat, raw: Bytes, cols: int) -> Bytes:
    """Rows as stored, `[rows, row_bytes]`, as tiles `[tiles, blocks, block_bytes]`."""
    rows = -raw.shape[0] % TILE_ROWS
    padded = np.pad(raw, ((0, rows), (0, 0))) if rows else raw
    if format.bits >= 16:
        return _pack_floats(format, padded, cols)
    return _pack_quantised(format, padded)


def _pack_floats(format: TileFormat, raw: Bytes, cols: int) -> Bytes:
    kind = np.uint16 if format.bits == 16 else np.uint32
    values = np.ascontiguousarray(raw).view(kind)
    padded = np.pad(values, ((0, 0), (0, -cols % TILE_COLS)))
    tiles = padded.reshape(-1, TILE_ROWS, padded.shape[1] // TILE_COLS, TILE_COLS)
    ordered = np.ascontiguousarray(tiles.transpose(0, 2, 3, 1))
    return ordered.view(np.uint8).reshape(tiles.shape[0], tiles.shape[2], format.block_bytes)


def _pack_quantised(format: TileFormat, raw: Bytes) -> Bytes:
    head, stored = 2 * format.scales, storage_format(format.name).block_bytes
    blocks = raw.shape[1] // stored
    tiles = raw.reshape(-1, TILE_ROWS, blocks, stored).transpose(0, 2, 1, 3)
    packed = np.empty((*tiles.shape[:2], format.block_bytes), np.uint8)
    values = packed[..., : TILE_ROWS * (stored - head)]
    order = _order_nibbles if format.bits == 4 else _order_bytes
    values[...] = order(tiles[..., head:])
    for index in range(format.scales):
        start = TILE_ROWS * (stored - head + 2 * index)
        part = np.ascontiguousarray(tiles[..., 2 * index : 2 * index + 2])
        packed[..., start : start + 2 * TILE_ROWS] = part.reshape(*tiles.shape[:2], -1)
    return packed


def _order_nibbles(stored: Bytes) -> Bytes:
    """`[tiles, blocks, 32 rows, 16 bytes]` of ggml nibbles (low: columns 0-15) in our order."""
    columns = np.concatenate([stored & np.uint8(15), stored >> np.uint8(4)], axis=-1)
    groups = columns.reshape(*stored.shape[:2], 2, 16, 4, 2, 4)
    joined = groups[..., 0, :] | (groups[..., 1, :] << np.uint8(4))
    return joined.transpose(0, 1, 2, 4, 3, 5).reshape(*stored.shape[:2], -1)


def _order_bytes(stored: Bytes) -> Bytes:
    """`[tiles, blocks, 32 rows, 32 bytes]` of signed values in our order, unsigned."""
    groups = (stored ^ np.uint8(0x80)).reshape(*stored.shape[:2], 2, 16, 8, 4)
    return groups.transpose(0, 1, 2, 4, 3, 5).reshape(*stored.shape[:2], -1)
