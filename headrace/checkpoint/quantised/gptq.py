"""GPTQ: codes packed along the columns, transposed; scales and zero points a group and row.

Layout and arithmetic are those of AutoGPTQ's and GPTQModel's torch kernels (`QuantLinear.forward`):
`weight[column, row] = scales[g, row] * (code[column, row] - zero[g, row])`, g = `g_idx[column]`.
The first layout (`checkpoint_format` "gptq") stores zero points less one, "gptq_v2" as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.quantised.config import Scheme
from headrace.checkpoint.quantised.module import Parts
from headrace.checkpoint.quantised.rows import (
    FLOAT_DTYPES,
    SCALE_TYPES,
    Grouping,
    as_float32,
    assemble,
    group_format,
    grouping,
    scale_bytes,
    unpack_words,
)
from headrace.checkpoint.tensors import Bytes, StoredTensor, Wanted
from headrace.errors import MalformedFileError
from headrace.formats.floats import encode_f16
from headrace.formats.storage import FORMATS

PARTS = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True)
class GptqMatrix:
    """A matrix that GPTQ quantised.

    Groups of columns that `g_idx` scatters (`desc_act`) are no groups of neighbours: such a
    matrix is unpacked to f16, as the publishers' own code computes it.
    """

    parts: Parts
    scheme: Scheme

    @property
    def bits(self) -> int:
        return self.scheme.integer("bits")

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; the parts are checked against each other."""
        words, rows = self.parts.typed("qweight", ("I32",), 2).shape
        cols = words * 32 // self.bits
        self.parts.typed("qzeros", ("I32",), 2)
        self.parts.typed("scales", FLOAT_DTYPES, 2)
        groups = -(-cols // self.size(cols))
        self.parts.require_shape("scales", (groups, rows))
        self.parts.require_shape("qzeros", (groups, -(-rows * self.bits // 32)))
        if "g_idx" in self.parts:
            self.parts.typed("g_idx", ("I32",), 1)
            self.parts.require_shape("g_idx", (cols,))
        return rows, cols

    def size(self, cols: int) -> int:
        """Columns that share a scale."""
        size = self.scheme.integer("group_size")
        return max(cols, 1) if size == -1 else size

    @cached_property
    def columns(self) -> Grouping | None:
        """How neighbouring columns share scales, or None if those that do are scattered."""
        cols, size = self.shape[1], self.size(self.shape[1])
        if "g_idx" in self.parts:
            groups = self.parts.array("g_idx")
            if not np.array_equal(groups, np.arange(cols) // size):
                return None
        return grouping(cols, size)

    @property
    def _less(self) -> int:
        """What zero points are stored less than they are."""
        return 0 if self.scheme.settings.get("checkpoint_format", "gptq") == "gptq_v2" else 1

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether the zero point is the middle of the codes everywhere."""
        each = (1 << (self.bits - 1)) - self._less
        word = np.frombuffer(bytes([each if self.bits == 8 else each * 17]) * 4, "<i4")
        return bool((self.parts.array("qzeros") == word).all())

    def zeros(self, wanted: Wanted) -> Bytes:
        """Zero points of some rows, [wanted, groups]."""
        bit = np.arange(self.shape[0])[wanted] * self.bits
        words = self.parts.array("qzeros")[:, bit // 32] >> (bit % 32).astype(np.int32)
        return ((words + self._less) & ((1 << self.bits) - 1)).astype(np.uint8).T

    def codes(self, wanted: Wanted) -> Bytes:
        """Codes of some rows, [wanted, cols]."""
        words = self.parts.array("qweight")[:, wanted]
        return unpack_words(np.ascontiguousarray(words.T), self.bits, self.shape[1])

    def stored(self, name: str) -> StoredTensor:
        columns = self.columns
        if columns is None:
            return StoredTensor(name, FORMATS["f16"], self.shape, self._scattered)
        scales = self.parts.array("scales").T
        symmetric = self.is_symmetric
        kind = SCALE_TYPES[self.parts.entry("scales").dtype]
        format = group_format(f"int{self.bits}", columns.group, kind, zero=not symmetric)

        def make(wanted: Wanted) -> Bytes:
            spread = columns.spread(scale_bytes(scales[wanted]))
            moved = None if symmetric else columns.spread(self.zeros(wanted))
            return assemble(format, self.codes(wanted), spread, moved)

        return StoredTensor(name, format, self.shape, make)

    def _scattered(self, wanted: Wanted) -> Bytes:
        groups = self._group_of_columns()
        dtype = self.parts.entry("scales").dtype
        scales = as_float32(self.parts.array("scales").T[wanted], dtype)
        steps = self.codes(wanted).astype(np.int16) - self.zeros(wanted)[:, groups]
        return encode_f16(steps.astype(np.float32) * scales[:, groups])

    def _group_of_columns(self) -> NDArray[Any]:
        groups = self.parts.array("g_idx")
        count = self.parts.entry("scales").shape[0]
        if groups.size and not (groups.min() >= 0 and groups.max() < count):
            raise MalformedFileError(
                f"tensor '{self.parts.names['g_idx']}' names groups beyond the {count} there are",
                where=self.parts.where,
            )
        return groups
