"""What the interpreter needs of a module besides its operators: rotary tables and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ProgramError
from headrace.ir.interpreter.arrays import Floats
from headrace.ir.program_ops import FrequenciesOp, ProgramOp, WeightOp

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RotaryTable:
    """frequencies: [n] radians a position; scale multiplies cosines and sines."""

    frequencies: Floats
    scale: float


@dataclass(frozen=True, slots=True)
class Model:
    """A module's program with the constants that its operators name.

    context: the number of positions for which the program is loaded.
    """

    program: ProgramOp
    context: int
    tables: dict[str, RotaryTable]
    weights: Callable[[str], Floats]

    @classmethod
    def of(
        cls, module: ModuleOp, weights: Callable[[str], Floats], context: int | None = None
    ) -> Model:
        """Without `context`, the program is loaded for as many positions as it was made for."""
        programs = [op for op in module.ops if isinstance(op, ProgramOp)]
        if len(programs) != 1:
            raise ProgramError(f"a module holds one program, this one {len(programs)}")
        limit = programs[0].context_length if context is None else context
        tables = {
            op.sym_name.data: _table(op, limit)
            for op in module.ops
            if isinstance(op, FrequenciesOp)
        }
        return cls(programs[0], limit, tables, weights)

    def weight(self, op: WeightOp, trip: int) -> Floats:
        """The weight of one trip; ProgramError where its shape is not the declared one."""
        name = per_trip(op.names(), trip)
        array = np.asarray(self.weights(name), np.float32)
        if array.shape != op.result.type.shape:
            raise ProgramError(
                f"weight {name!r} has shape {list(array.shape)}, the program"
                f" expects {list(op.result.type.shape)}",
                where=f"step.weight {op.weight_name.data!r}",
            )
        return array

    def table(self, name: str, head: int) -> RotaryTable:
        table = self.tables.get(name)
        if table is None:
            raise ProgramError(f"there is no step.frequencies @{name}", where="step.rope")
        if 2 * len(table.frequencies) > head:
            raise ProgramError(
                f"a head of {head} features has no room for {len(table.frequencies)}"
                f" frequencies, @{name}",
                where="step.rope",
            )
        return table


def _table(op: FrequenciesOp, context: int) -> RotaryTable:
    values, scale = op.at_context(context)
    return RotaryTable(np.asarray(values, np.float32), scale)


def per_trip(entries: tuple[T, ...], trip: int) -> T:
    """An attribute's entry for one trip: the only one holds for all."""
    return entries[0] if len(entries) == 1 else entries[trip]
