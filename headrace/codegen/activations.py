"""How activations lie in memory while they are multiplied: record after record, as products read.

A record is one token's 32 columns. Tokens are divided into blocks (`token_blocks.py`), one after
the other; within a block of n tokens, the n records of the first 32 columns come first, then those
of the next. So one pointer and constant offsets reach all that a step of a product needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from headrace.codegen.tile import F32, I32, Emitter, Value
from headrace.codegen.tile_format import TILE_COLS, Form

#: In a record of 8 bits, after its 32 values: the scale (f32), minus the sum of the values and
#: minus the sum of the first 16 (i32), scale * sum (f32).
SCALE, NEGATED, NEGATED_HALF, OFFSET = (TILE_COLS + 4 * index for index in range(4))

RECORD_BYTES: dict[Form, int] = {"q8": TILE_COLS + 16, "f32": 4 * TILE_COLS}


@dataclass(frozen=True)
class Record:
    """One token's 32 columns; what belongs to them is loaded when it is first asked for."""

    e: Emitter
    at: Value

    @cached_property
    def scale(self) -> Value:
        return self.e.load(self.e.offset(self.at, SCALE), F32)

    @cached_property
    def offset(self) -> Value:
        """The scale times the sum over all columns."""
        return self.e.load(self.e.offset(self.at, OFFSET), F32)

    @cached_property
    def negated(self) -> Value:
        """Minus the sum over all columns."""
        return self.e.load(self.e.offset(self.at, NEGATED), I32)

    def negated_half(self, half: int) -> Value:
        """Minus the sum over 16 columns."""
        return self._first if half == 0 else self.negated - self._first

    @cached_property
    def _first(self) -> Value:
        return self.e.load(self.e.offset(self.at, NEGATED_HALF), I32)
