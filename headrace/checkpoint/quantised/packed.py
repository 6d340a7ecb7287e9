"""compressed-tensors "pack-quantized": codes of 4 or 8 bits along the rows in 32-bit words.

Layout: `compressed_tensors/compressors/pack_quantized` (`pack_to_int32`): codes are `q + 8` or
`q + 128`, the lowest bits first; zero points likewise, packed along the rows of the grid. Value:
`weight_scale * (q - zero)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headrace.checkpoint.quantised.config import Scheme, weight_settings
from headrace.checkpoint.quantised.grid import Grid, read_grid
from headrace.checkpoint.quantised.module import Parts
from headrace.checkpoint.quantised.rows import (
    FLOAT_DTYPES,
    SCALE_TYPES,
    assemble,
    group_format,
    scale_bytes,
    unpack_words,
)
from headrace.checkpoint.tensors import Bytes, StoredTensor, Wanted
from headrace.errors import UnsupportedFormatError

PARTS = ("weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx")


@dataclass(frozen=True)
class PackedMatrix:
    """A matrix in the pack-quantized format."""

    parts: Parts
    scheme: Scheme

    @cached_property
    def shape(self) -> tuple[int, int]:
        rows, words = self.parts.typed("weight_packed", ("I32",), 2).shape
        self.parts.typed("weight_shape", ("I64", "I32"))
        self.parts.require_shape("weight_shape", (2,))
        stored_rows, cols = (int(each) for each in self.parts.array("weight_shape"))
        if stored_rows != rows or not (words - 1) * 4 < cols <= words * 8:
            expected = f"codes of {stored_rows} rows and {cols} columns"
            raise self.parts.malformed("weight_packed", expected)
        return rows, cols

    @cached_property
    def bits(self) -> int:
        """Of a code: 4 or 8, as the configuration says and the number of words confirms."""
        words, cols = self.parts.entry("weight_packed").shape[1], self.shape[1]
        configured = [each.get("num_bits") for each in weight_settings(self.scheme)]
        for bits in (4, 8):
            if bits in configured and words == -(-cols * bits // 32):
                return bits
        raise self.scheme.unsupported(
            f"compressed-tensors with {', '.join(map(str, configured)) or 'unknown'} bits "
            f"('{self.parts.module}' has {words} words for {cols} columns)"
        )

    def stored(self, name: str) -> StoredTensor:
        self._refuse_order()
        dtype = self.parts.typed("weight_scale", FLOAT_DTYPES).dtype
        grid = read_grid(self.parts, "weight_scale", self.shape, self._group_block())
        scales, packed = self.parts.array("weight_scale"), self.parts.array("weight_packed")
        zero = self._has_zeros(grid)
        group = grid.columns.group
        format = group_format(f"int{self.bits}", group, SCALE_TYPES[dtype], zero=zero)

        def make(wanted: Wanted) -> Bytes:
            codes = unpack_words(packed[wanted], self.bits, self.shape[1])
            moved = grid.of_rows(self._zeros(grid), wanted) if zero else None
            return assemble(format, codes, scale_bytes(grid.of_rows(scales, wanted)), moved)

        return StoredTensor(name, format, self.shape, make)

    def _group_block(self) -> tuple[int, int] | None:
        """Groups that the columns need not fill, where all modules have the same."""
        sizes = {each.get("group_size") for each in weight_settings(self.scheme)}
        size = sizes.pop() if len(sizes) == 1 else None
        return (1, size) if type(size) is int and size > 0 else None

    def _has_zeros(self, grid: Grid) -> bool:
        if "weight_zero_point" not in self.parts:
            return False
        rows, groups = grid.shape
        self.parts.typed("weight_zero_point", ("I32",), 2)
        self.parts.require_shape("weight_zero_point", (-(-rows * self.bits // 32), groups))
        return True

    def _zeros(self, grid: Grid) -> Bytes:
        """Zero points of unsigned codes, on the grid of the scales."""
        packed = self.parts.array("weight_zero_point")
        return unpack_words(packed.T, self.bits, grid.shape[0]).T

    def _refuse_order(self) -> None:
        """Groups must be of neighbouring columns."""
        if "weight_g_idx" not in self.parts:
            return
        order = self.parts.array("weight_g_idx")
        if order.size and (np.diff(order) < 0).any():
            raise UnsupportedFormatError(
                f"the groups of '{self.parts.module}' are scattered (actorder 'group')",
                where=self.parts.where,
                hint="quantise with actorder 'weight', or take a GPTQ file",
            )
