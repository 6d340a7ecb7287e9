"""Rows of codes and scales, as they come out of other layouts, in our storage formats.

The layout of a block is described in `headrace.formats.groups`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.tensors import Bytes
from headrace.formats.floats import decode_bf16
from headrace.formats.groups import GroupLayout, parse_group
from headrace.formats.storage import StorageFormat, storage_format

GROUPS = (128, 64, 32)
SCALE_TYPES = {"F16": "f16", "BF16": "bf16", "F32": "f32"}
FLOAT_DTYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Grouping:
    """How columns share scales.

    Attributes:
        cols: of a row. size: columns that share a scale in the checkpoint.
        group: columns of a block of ours, which divides `size` unless there is one scale a row.
    """

    cols: int
    size: int
    group: int

    @property
    def blocks(self) -> int:
        return -(-self.cols // self.group)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the checkpoint's groups, [rows, groups, ...] → [rows, blocks, ...]."""
        return values[:, np.arange(self.blocks) * self.group // self.size]


def grouping(cols: int, size: int) -> Grouping | None:
    """Blocks for groups of `size` columns (the whole row: `cols`), or None if none fits."""
    if size >= cols:
        smallest = next((each for each in reversed(GROUPS) if each >= cols), GROUPS[0])
        return Grouping(cols, max(cols, 1), smallest)
    fitting = next((each for each in GROUPS if size % each == 0), None)
    return None if fitting is None else Grouping(cols, size, fitting)


def group_format(kind: str, group: int, scale: str, *, zero: bool) -> StorageFormat:
    """The format of groups; where it is ggml's to the bit, under ggml's name."""
    name = f"{kind}_g{group}_{scale}{'z' if zero else ''}"
    return storage_format("q4_0" if name == "int4_g32_f16" else name)


def layout_of(format: StorageFormat) -> GroupLayout:
    layout = parse_group("int4_g32_f16" if format.name == "q4_0" else format.name)
    assert layout is not None
    return layout


def assemble(format: StorageFormat, codes: Bytes, scales: Bytes, zeros: Bytes | None) -> Bytes:
    """Rows in a format of groups, [rows, row_bytes].

    codes: [rows, cols], unsigned, a byte each. scales: [rows, blocks, scale_bytes]. zeros:
    [rows, blocks] where the format has them.
    """
    layout = layout_of(format)
    rows, cols = codes.shape
    blocks = -(-cols // layout.group)
    made = np.empty((rows, blocks, layout.block_bytes), np.uint8)
    made[..., : layout.scale_bytes] = scales
    if zeros is not None:
        made[..., layout.codes_at - 1] = zeros
    missing = blocks * layout.group - cols
    whole = np.pad(codes, ((0, 0), (0, missing))) if missing else codes
    grouped = whole.reshape(rows, blocks, layout.group)
    if layout.bits == 4:
        half = layout.group // 2
        grouped = grouped[..., :half] | (grouped[..., half:] << np.uint8(4))
    made[..., layout.codes_at :] = grouped
    return made.reshape(rows, -1)


def unpack_nibbles(packed: Bytes) -> Bytes:
    """[rows, n] → [rows, 2 n], the low half of a byte first."""
    values = np.empty((*packed.shape, 2), np.uint8)
    np.bitwise_and(packed, np.uint8(15), out=values[..., 0])
    np.right_shift(packed, np.uint8(4), out=values[..., 1])
    return values.reshape(packed.shape[0], -1)


def unpack_words(words: NDArray[np.int32], bits: int, count: int) -> Bytes:
    """Codes of 4 or 8 bits, the lowest bits first: [rows, words] → [rows, count]."""
    packed = np.ascontiguousarray(words).view(np.uint8)
    whole = unpack_nibbles(packed) if bits == 4 else packed
    return whole[:, :count]


def scale_bytes(scales: NDArray[Any]) -> Bytes:
    """[rows, n] of two- or four-byte numbers → [rows, n, bytes]."""
    whole = np.ascontiguousarray(scales)
    return whole.view(np.uint8).reshape(*whole.shape, whole.itemsize)


def as_float32(values: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """Numbers of a safetensors type, exactly; bytes are powers of two (e8m0)."""
    if dtype == "BF16":
        whole = np.ascontiguousarray(values)
        return decode_bf16(whole.view(np.uint8).reshape(-1)).reshape(values.shape)
    if dtype in ("F8_E8M0", "U8"):
        return np.ldexp(np.float32(1), values.astype(np.int32) - 127)
    return values.astype(np.float32)
