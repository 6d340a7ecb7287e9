"""Matrices of one byte a value, as they lie in the file: FP8 (E4M3) and int8, with their scales.

FP8 with a scale for a block of 128 by 128 is what DeepSeek-V3 and Qwen3 publish
(`weight_scale_inv`, which is multiplied in spite of its name); compressed-tensors publishes
one scale for all, for a row, for a group of columns or for a block (`weight_scale`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.quantised.grid import Grid, read_grid
from headrace.checkpoint.quantised.module import Parts
from headrace.checkpoint.quantised.rows import (
    FLOAT_DTYPES,
    SCALE_TYPES,
    as_float32,
    assemble,
    group_format,
    scale_bytes,
)
from headrace.checkpoint.tensors import Bytes, StoredTensor, Wanted
from headrace.formats.storage import StorageFormat, storage_format

PARTS = ("weight", "weight_scale", "weight_scale_inv", "weight_zero_point")
EIGHT_BITS = ("F8_E4M3", "I8")
SIGN = np.uint8(0x80)


@dataclass(frozen=True)
class EightBitMatrix:
    """A matrix of FP8 or int8.

    Attributes:
        block: rows and columns that share a scale, where the configuration says so.
    """

    parts: Parts
    block: tuple[int, int] | None

    @property
    def scale(self) -> str:
        """Which of the parts holds the scales."""
        return "weight_scale_inv" if "weight_scale_inv" in self.parts else "weight_scale"

    @cached_property
    def shape(self) -> tuple[int, int]:
        rows, cols = self.parts.typed("weight", EIGHT_BITS, 2).shape
        return rows, cols

    def stored(self, name: str) -> StoredTensor:
        grid = read_grid(self.parts, self.scale, self.shape, self.block)
        floating = self.parts.entry("weight").dtype == "F8_E4M3"
        make = self._floats if floating else self._integers
        return make(name, grid)

    def _floats(self, name: str, grid: Grid) -> StoredTensor:
        dtype = self.parts.typed(self.scale, (*FLOAT_DTYPES, "F8_E8M0")).dtype
        scales = as_float32(self.parts.array(self.scale), dtype)
        format = storage_format(f"f8_g{grid.columns.group}")
        return self._stored(name, format, grid, scales, None)

    def _integers(self, name: str, grid: Grid) -> StoredTensor:
        dtype = self.parts.typed(self.scale, FLOAT_DTYPES).dtype
        zeros = self._zeros()
        zero = zeros is not None
        format = group_format("int8", grid.columns.group, SCALE_TYPES[dtype], zero=zero)
        return self._stored(name, format, grid, self.parts.array(self.scale), zeros)

    def _zeros(self) -> Bytes | None:
        """Zero points of unsigned codes, in the shape of the scales."""
        if "weight_zero_point" not in self.parts:
            return None
        self.parts.typed("weight_zero_point", ("I8",))
        self.parts.require_shape("weight_zero_point", self.parts.entry(self.scale).shape)
        return _unsigned(self.parts.array("weight_zero_point"))

    def _stored(
        self,
        name: str,
        format: StorageFormat,
        grid: Grid,
        scales: NDArray[Any],
        zeros: Bytes | None,
    ) -> StoredTensor:
        weight = self.parts.array("weight")

        def make(wanted: Wanted) -> Bytes:
            codes = weight[wanted] if format.integer is False else _unsigned(weight[wanted])
            moved = None if zeros is None else grid.of_rows(zeros, wanted)
            return assemble(format, codes, scale_bytes(grid.of_rows(scales, wanted)), moved)

        return StoredTensor(name, format, self.shape, make)


def _unsigned(values: NDArray[Any]) -> Bytes:
    """Signed bytes, 128 more."""
    return np.ascontiguousarray(values).view(np.uint8) ^ SIGN
