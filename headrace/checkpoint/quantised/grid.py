"""Scales on a grid: one for the whole matrix, for a row, a group of columns, or a block."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.quantised.module import Parts
from headrace.checkpoint.quantised.rows import Grouping, grouping
from headrace.checkpoint.tensors import Wanted
from headrace.errors import UnsupportedFormatError


@dataclass(frozen=True, slots=True)
class Grid:
    """Which numbers of a grid belong to each row.

    Attributes:
        rows: of the matrix. row_size: rows that share a number. shape: of the grid.
    """

    rows: int
    row_size: int
    shape: tuple[int, int]
    columns: Grouping

    def of_rows(self, values: NDArray[Any], wanted: Wanted) -> NDArray[Any]:
        """The grid's numbers for some rows, [wanted, blocks]."""
        grid = values.reshape(self.shape)
        return self.columns.spread(grid[np.arange(self.rows)[wanted] // self.row_size])


def read_grid(
    parts: Parts, part: str, shape: tuple[int, int], block: tuple[int, int] | None
) -> Grid:
    """How the scales in `part` lie over a matrix of `shape`.

    block: the rows and columns that share a scale, where the configuration says so; the last block
        may be filled in part. Without it, blocks divide the matrix.

    Raises:
        MalformedFileError: the scales do not fit the matrix.
        UnsupportedFormatError: groups of columns that no storage format has.
    """
    rows, cols = shape
    stored = parts.entry(part).shape
    if prod(stored) == 1:
        return _grid(parts, part, shape, rows, cols)
    if stored in ((rows,), (rows, 1)):
        return _grid(parts, part, shape, 1, cols)
    if block is not None and stored == (-(-rows // block[0]), -(-cols // block[1])):
        return _grid(parts, part, shape, *block)
    if len(stored) != 2 or not all(stored) or rows % stored[0] or cols % stored[1]:
        raise parts.malformed(part, f"scales of a matrix of {rows} rows and {cols} columns")
    return _grid(parts, part, shape, rows // stored[0], cols // stored[1])


def _grid(parts: Parts, part: str, shape: tuple[int, int], row_size: int, col_size: int) -> Grid:
    columns = grouping(shape[1], col_size)
    if columns is None:
        raise UnsupportedFormatError(
            f"'{parts.names[part]}' has a scale for {col_size} columns; multiples of 32 are read",
            where=parts.where,
        )
    counts = -(-shape[0] // max(row_size, 1)), -(-shape[1] // max(col_size, 1))
    return Grid(shape[0], max(row_size, 1), counts, columns)
