"""Storage formats of weights: how a row of values is laid out in bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint import blocks
from headrace.errors import UnsupportedFormatError


@dataclass(frozen=True, slots=True)
class StorageFormat:
    """A row of values as consecutive blocks of `block` values in `block_bytes` bytes.

    Formats compare by name; the instances live in `FORMATS`.
    """

    name: str
    block: int
    block_bytes: int
    decode: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = field(compare=False, repr=False)
    encode: Callable[[NDArray[np.float32]], NDArray[np.uint8]] = field(compare=False, repr=False)

    def row_bytes(self, cols: int) -> int:
        """Bytes of a row of `cols` values.

        Raises:
            UnsupportedFormatError: `cols` is not a whole number of blocks.
        """
        if cols % self.block:
            raise UnsupportedFormatError(
                f"a row of {cols} values cannot be stored as {self.name}, "
                f"which has {self.block} values a block",
                hint="store this tensor as f16, bf16 or f32",
            )
        return cols // self.block * self.block_bytes

    def dequantise(self, raw: NDArray[np.uint8], cols: int) -> NDArray[np.float32]:
        """Exact values, [rows, row_bytes] → [rows, cols]; f32 is a view of `raw`, not a copy."""
        rows = raw.shape[0]
        contiguous = np.ascontiguousarray(raw).reshape(rows, self.row_bytes(cols))
        if self.block == 1:
            return self.decode(contiguous)
        return self.decode(contiguous.reshape(rows, -1, self.block_bytes)).reshape(rows, cols)

    def quantise(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The reference rounding of ggml, [rows, cols] → [rows, row_bytes]; values are finite."""
        rows, cols = values.shape
        row_bytes = self.row_bytes(cols)
        contiguous = np.ascontiguousarray(values, np.float32)
        if self.block == 1:
            return self.encode(contiguous)
        return self.encode(contiguous.reshape(rows, -1, self.block)).reshape(rows, row_bytes)


_ALL = (
    StorageFormat("f32", 1, 4, blocks.decode_f32, blocks.encode_f32),
    StorageFormat("f16", 1, 2, blocks.decode_f16, blocks.encode_f16),
    StorageFormat("bf16", 1, 2, blocks.decode_bf16, blocks.encode_bf16),
    StorageFormat("q4_0", 32, 18, blocks.decode_q4_0, blocks.encode_q4_0),
    StorageFormat("q4_1", 32, 20, blocks.decode_q4_1, blocks.encode_q4_1),
    StorageFormat("q8_0", 32, 34, blocks.decode_q8_0, blocks.encode_q8_0),
)

FORMATS: Mapping[str, StorageFormat] = MappingProxyType({each.name: each for each in _ALL})


def storage_format(name: str) -> StorageFormat:
    """The format called `name`.

    Raises:
        UnsupportedFormatError: there is none; the message lists those there are.
    """
    found = FORMATS.get(name)
    if found is None:
        raise UnsupportedFormatError(
            f"there is no storage format '{name}'", hint=f"one of {', '.join(FORMATS)}"
        )
    return found
