"""Builds the program's block: weights, rotary tables and operators in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

from xdsl.ir import Block, Operation, SSAValue
from xdsl.irdl import IRDLOperation

from headrace.frontend.frequencies import Frequencies
from headrace.frontend.trace import Trace
from headrace.ir.program_ops import FrequenciesOp, ProgramOp, WeightOp
from headrace.ir.types import WeightType

#: The type of a parameter by its name and shape.
WeightTypes = Callable[[str, tuple[int, ...]], WeightType]


class Emitter:
    """The program under construction.

    Attributes:
        hint: the name for the results of the operators emitted next.
        caches: the number of KV caches so far.
    """

    def __init__(self, trace: Trace, weight_types: WeightTypes) -> None:
        self.trace = trace
        self.block: Block = ProgramOp.entry_block()
        self.tokens, self.positions, self.sequences, self.outputs = self.block.args
        for argument, name in zip(
            self.block.args, ("tokens", "positions", "sequences", "outputs"), strict=True
        ):
            argument.name_hint = name
        self.hint = ""
        self.caches = 0
        self._weight_types = weight_types
        self._weights: dict[str, SSAValue] = {}
        self._tables: dict[Frequencies, FrequenciesOp] = {}
        self._shapes = {
            name: tuple(node.meta["val"].shape) for node, name in trace.exported.parameters.items()
        }

    @property
    def tables(self) -> list[FrequenciesOp]:
        return list(self._tables.values())

    def emit(self, operation: IRDLOperation, name: str | None = None) -> SSAValue:
        """Append an operator of one result; its name, by default, is that of its module."""
        self.block.add_op(operation)
        (result,) = operation.results
        result.name_hint = identifier(self.hint if name is None else name)
        return result

    def append(self, operation: Operation) -> None:
        self.block.add_op(operation)

    def weight(self, name: str) -> SSAValue:
        """The weight of that name; emitted before its first use."""
        return self._emitted(name, self._shapes[name])

    def vector(self, name: str) -> SSAValue:
        """As `weight`; the entries of a parameter of several dimensions lie in one."""
        return self._emitted(name, (prod(self._shapes[name]),))

    def _emitted(self, name: str, shape: tuple[int, ...]) -> SSAValue:
        if name not in self._weights:
            operation = WeightOp(name, self._weight_types(name, shape))
            self.block.add_op(operation)
            operation.result.name_hint = identifier("_".join(name.split(".")[-2:]))
            self._weights[name] = operation.result
        return self._weights[name]

    def table(self, frequencies: Frequencies) -> str:
        """The symbol of a rotary table; equal tables share one."""
        if frequencies not in self._tables:
            symbol = f"rope{len(self._tables)}"
            self._tables[frequencies] = FrequenciesOp(symbol, frequencies.values, frequencies.scale)
        return self._tables[frequencies].sym_name.data


def identifier(text: str) -> str:
    """A name that the textual form takes: letters, digits and underscores, no digit first."""
    cleaned = re.sub(r"\W+", "_", text).strip("_")
    return cleaned if cleaned and not cleaned[0].isdigit() else f"v{cleaned}"
