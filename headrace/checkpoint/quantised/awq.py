"""AWQ in the "gemm" layout: eight rows a word in an order of its own, zero points a group and row.

Layout and arithmetic are those of AutoAWQ (`awq/modules/linear/gemm.py`, `dequantize_gemm`): nibble
*i* of a word belongs to row `(0, 2, 4, 6, 1, 3, 5, 7)[i]` of the word's eight, and
`weight[column, row] = scales[g, row] * (code[column, row] - zero[g, row])`, g = column // group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.quantised.config import Scheme, awq_group
from headrace.checkpoint.quantised.module import Parts
from headrace.checkpoint.quantised.rows import (
    FLOAT_DTYPES,
    SCALE_TYPES,
    assemble,
    group_format,
    grouping,
    scale_bytes,
)
from headrace.checkpoint.tensors import Bytes, StoredTensor, Wanted

PARTS = ("qweight", "qzeros", "scales")
ROWS_A_WORD = 8
#: The nibble that holds each of a word's eight rows.
NIBBLE_OF_ROW = np.argsort((0, 2, 4, 6, 1, 3, 5, 7))


@dataclass(frozen=True)
class AwqMatrix:
    """A matrix that AWQ quantised."""

    parts: Parts
    scheme: Scheme

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; the parts are checked against each other."""
        cols, words = self.parts.typed("qweight", ("I32",), 2).shape
        rows, groups = words * ROWS_A_WORD, -(-cols // self.size(cols))
        self.parts.typed("qzeros", ("I32",), 2)
        self.parts.typed("scales", FLOAT_DTYPES, 2)
        self.parts.require_shape("qzeros", (groups, words))
        self.parts.require_shape("scales", (groups, rows))
        return rows, cols

    def size(self, cols: int) -> int:
        """Columns that share a scale."""
        size = awq_group(self.scheme)
        return max(cols, 1) if size == -1 else size

    def stored(self, name: str) -> StoredTensor:
        rows, cols = self.shape
        columns = grouping(cols, self.size(cols))
        assert columns is not None  # the scheme's sizes are multiples of 32
        scales = self.parts.array("scales").T
        kind = SCALE_TYPES[self.parts.entry("scales").dtype]
        format = group_format("int4", columns.group, kind, zero=True)

        def make(wanted: Wanted) -> Bytes:
            zeros = _nibbles(self.parts.array("qzeros"), np.arange(rows)[wanted])
            codes = _nibbles(self.parts.array("qweight"), np.arange(rows)[wanted])
            spread = columns.spread(scale_bytes(scales[wanted]))
            return assemble(format, codes, spread, columns.spread(zeros))

        return StoredTensor(name, format, (rows, cols), make)


def _nibbles(words: NDArray[Any], rows: NDArray[np.intp]) -> Bytes:
    """Codes of some rows: [n, words] → [rows, n]."""
    nibble = NIBBLE_OF_ROW[rows % ROWS_A_WORD]
    columns = words.view(np.uint8).reshape(len(words), -1)
    held = columns[:, rows // ROWS_A_WORD * 4 + nibble // 2]
    return np.ascontiguousarray(((held >> (4 * (nibble % 2)).astype(np.uint8)) & np.uint8(15)).T)
