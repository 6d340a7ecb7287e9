"""Storage formats of weights: how a row of values is laid out in bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from headrace.errors import UnsupportedFormatError
from headrace.formats import blocks, codebooks, floats, superblocks
from headrace.formats.groups import FORMS, parse_group

Decode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Encode = Callable[[NDArray[np.float32]], NDArray[np.uint8]]

#: Values decoded at a time, so that what a decoder makes on its way stays in the cache.
_CHUNK_VALUES = 1 << 15


@dataclass(frozen=True, slots=True)
class StorageFormat:
    """A row of values as consecutive blocks of `block` values in `block_bytes` bytes.

    The last block of a row may be partly padding. Formats compare by name.

    Attributes:
        integer: values are small integers (or one of 16 numbers) times scales, so that products
            can take activations of 8 bits.
    """

    name: str
    block: int
    block_bytes: int
    decode: Decode = field(compare=False, repr=False)
    encode: Encode | None = field(compare=False, repr=False)
    integer: bool = field(compare=False, repr=False)

    def row_bytes(self, cols: int) -> int:
        """Bytes of a row of `cols` values, the last block whole."""
        return -(-cols // self.block) * self.block_bytes

    def dequantise(self, raw: NDArray[np.uint8], cols: int) -> NDArray[np.float32]:
        """Exact values, [rows, row_bytes] → [rows, cols]; f32 is a view of `raw`, not a copy."""
        rows = raw.shape[0]
        with np.errstate(all="ignore"):
            if self.block == 1:
                return self.decode(np.ascontiguousarray(raw).reshape(rows, self.row_bytes(cols)))
            values = np.empty((rows, cols), np.float32)
            step = max(1, _CHUNK_VALUES // max(cols, 1))
            for first in range(0, rows, step):
                values[first : first + step] = self._decode_rows(raw[first : first + step], cols)
            return values

    def _decode_rows(self, raw: NDArray[np.uint8], cols: int) -> NDArray[np.float32]:
        whole = np.ascontiguousarray(raw).reshape(-1, self.block_bytes)
        return self.decode(whole).reshape(raw.shape[0], -1)[:, :cols]

    def quantise(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The reference rounding of ggml, [rows, cols] → [rows, row_bytes]; values are finite.

        The last block is filled up with zeros.

        Raises:
            UnsupportedFormatError: headrace reads this format, but never writes it.
        """
        if self.encode is None:
            raise UnsupportedFormatError(
                f"headrace reads {self.name}, but does not write it",
                hint=f"one of {', '.join(n for n, each in FORMATS.items() if each.encode)}",
            )
        rows, cols = values.shape
        whole = np.ascontiguousarray(values, np.float32)
        if self.block == 1:
            return self.encode(whole)
        padding = np.zeros((rows, -cols % self.block), np.float32)
        whole = np.concatenate([whole, padding], axis=1).reshape(-1, self.block)
        return self.encode(whole).reshape(rows, self.row_bytes(cols))


def _integer(
    name: str, block: int, block_bytes: int, decode: Decode, encode: Encode | None = None
) -> StorageFormat:
    return StorageFormat(name, block, block_bytes, decode, encode, integer=True)


_ALL = (
    StorageFormat("f32", 1, 4, floats.decode_f32, floats.encode_f32, integer=False),
    StorageFormat("f16", 1, 2, floats.decode_f16, floats.encode_f16, integer=False),
    StorageFormat("bf16", 1, 2, floats.decode_bf16, floats.encode_bf16, integer=False),
    _integer("q4_0", 32, 18, blocks.decode_q4_0, blocks.encode_q4_0),
    _integer("q4_1", 32, 20, blocks.decode_q4_1, blocks.encode_q4_1),
    _integer("q5_0", 32, 22, blocks.decode_q5_0, blocks.encode_q5_0),
    _integer("q5_1", 32, 24, blocks.decode_q5_1, blocks.encode_q5_1),
    _integer("q8_0", 32, 34, blocks.decode_q8_0, blocks.encode_q8_0),
    _integer("q2_k", 256, 84, superblocks.decode_q2_k),
    _integer("q3_k", 256, 110, superblocks.decode_q3_k),
    _integer("q4_k", 256, 144, superblocks.decode_q4_k),
    _integer("q5_k", 256, 176, superblocks.decode_q5_k),
    _integer("q6_k", 256, 210, superblocks.decode_q6_k),
    _integer("iq4_nl", 32, 18, codebooks.decode_iq4_nl),
    _integer("iq4_xs", 256, 136, codebooks.decode_iq4_xs),
    _integer("mxfp4", 32, 17, codebooks.decode_mxfp4, codebooks.encode_mxfp4),
)

#: The formats of GGUF files; those with parameters in their names are made by `storage_format`.
FORMATS: Mapping[str, StorageFormat] = MappingProxyType({each.name: each for each in _ALL})


def storage_format(name: str) -> StorageFormat:
    """The format called `name`, also those in groups (`headrace.formats.groups`).

    Raises:
        UnsupportedFormatError: there is none; the message lists those there are.
    """
    found = FORMATS.get(name) or _group_format(name)
    if found is None:
        raise UnsupportedFormatError(
            f"there is no storage format '{name}'", hint=f"one of {', '.join(FORMATS)}, {FORMS}"
        )
    return found


@cache
def _group_format(name: str) -> StorageFormat | None:
    layout = parse_group(name)
    if layout is None:
        return None
    integer = not layout.floating
    return StorageFormat(name, layout.group, layout.block_bytes, layout.decode, None, integer)
