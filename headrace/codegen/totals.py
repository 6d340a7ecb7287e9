"""The float32 totals of a block of tokens: in registers, or in memory where there are too few."""

from __future__ import annotations

from headrace.codegen.tile import F32, LANES, Emitter, Value, vector
from headrace.codegen.tile_format import TILE_ROWS
from headrace.codegen.unpack import HALVES


class Totals:
    """Totals of `size` tokens and 32 rows, which start as what memory holds, f32 `[size, 32]`.

    held: in registers until `give` puts them back.
    """

    def __init__(self, e: Emitter, memory: Value, size: int, *, held: bool) -> None:
        self.size = size
        self._e, self._memory, self._start = e, memory, memory
        self._variables = (
            [[e.variable(self._load(t, half)) for half in range(HALVES)] for t in range(size)]
            if held
            else None
        )

    def get(self, token: int, half: int) -> Value:
        if self._variables is None:
            return self._load(token, half)
        return self._variables[token][half].get()

    def set(self, token: int, half: int, value: Value) -> None:
        if self._variables is None:
            self._e.store(value, self._place(token, half))
        else:
            self._variables[token][half].set(value)

    def give(self) -> None:
        """Put everything into memory."""
        for token, row in enumerate(self._variables or ()):
            for half, total in enumerate(row):
                self._e.store(total.get(), self._place(token, half))

    def begin(self) -> None:
        """At the start of a loop's body: LLVM would keep totals in registers that are not there."""
        if self._variables is None:
            self._memory = self._e.opaque(self._start)

    def _load(self, token: int, half: int) -> Value:
        return self._e.load(self._place(token, half), vector(F32))

    def _place(self, token: int, half: int) -> Value:
        return self._e.offset(self._memory, token * TILE_ROWS + half * LANES, F32)
