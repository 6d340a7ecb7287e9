"""Builds the program's block: weights, rotary tables and operators in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from xdsl.ir import Block, Operation, SSAValue
from xdsl.irdl import IRDLOperation

from headrace.checkpoint.binding import Binding
from headrace.frontend.frequencies import Frequencies
from headrace.frontend.trace import Trace
from headrace.ir.program_ops import FrequenciesOp, ProgramOp, WeightOp
from headrace.ir.types import WeightType

#: The type of a weight by the parameter it is of, what is done to that, and its shape then.
WeightTypes = Callable[[Binding, tuple[int, ...]], WeightType]


class Emitter:
    """The program under construction.

    Attributes:
        hint: the name for the results of the operators emitted next.
        caches: the number of KV caches so far.
        weights: the program's weights → what they are of the module's parameters.
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
        self.weights: dict[str, Binding] = {}
        self._weight_types = weight_types
        self._weight_values: dict[str, SSAValue] = {}
        self._tables: dict[Frequencies, FrequenciesOp] = {}
        self._place: Operation | None = None
        self._last_at: dict[Operation, Operation] = {}
        self._shapes: Mapping[str, tuple[int, ...]] = {
            name: tuple(node.meta["val"].shape) for node, name in trace.exported.parameters.items()
        }

    @property
    def tables(self) -> list[FrequenciesOp]:
        return list(self._tables.values())

    @property
    def place(self) -> Operation | None:
        """Where the program ends by now, for `at`."""
        return self.block.last_op

    @contextmanager
    def at(self, place: Operation | None, hint: str) -> Generator[None]:
        """Emit, meanwhile, behind an earlier operator and what was emitted behind it so."""
        before = self._place, self.hint
        self._place, self.hint = place, hint
        try:
            yield
        finally:
            self._place, self.hint = before

    def emit(self, operation: IRDLOperation, name: str | None = None) -> SSAValue:
        """Insert an operator of one result; its name, by default, is that of its module."""
        self.append(operation)
        (result,) = operation.results
        result.name_hint = identifier(self.hint if name is None else name)
        return result

    def append(self, operation: Operation) -> None:
        if self._place is None:
            self.block.add_op(operation)
        else:
            last = self._last_at.get(self._place, self._place)
            self.block.insert_op_after(operation, last)
            self._last_at[self._place] = operation

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter."""
        return self._shapes[name]

    def weight(self, name: str) -> SSAValue:
        """The parameter of that name; emitted before its first use."""
        return self.derived(Binding(name))

    def vector(self, name: str) -> SSAValue:
        """As `weight`; the entries of a parameter of several dimensions lie in one."""
        return self.derived(Binding(name, flat=len(self._shapes[name]) > 1))

    def derived(self, view: Binding) -> SSAValue:
        """The weight that `view` makes of the parameter `view.tensor`, by a name of its own."""
        name = view.tensor + ".T" * view.transpose + "".join(each.text for each in view.rows)
        name += f"+{len(view.joined)}" if view.joined else ""
        if name not in self._weight_values:
            rows, *cols = view.shape(self._shapes[view.tensor])
            rows += sum(each.shape(self._shapes[each.tensor])[0] for each in view.joined)
            operation = WeightOp(name, self._weight_types(view, (rows, *cols)))
            self.append(operation)
            operation.result.name_hint = identifier("_".join(view.tensor.split(".")[-2:]))
            self.weights[name] = view
            self._weight_values[name] = operation.result
        assert self.weights[name] == view
        return self._weight_values[name]

    def table(self, frequencies: Frequencies) -> str:
        """The symbol of a rotary table; equal tables share one."""
        if frequencies not in self._tables:
            symbol = f"rope{len(self._tables)}"
            long = frequencies.long
            self._tables[frequencies] = FrequenciesOp(
                symbol,
                frequencies.values,
                frequencies.scale,
                beyond=None if long is None else long.beyond,
                long_values=None if long is None else long.values,
                long_scale=None if long is None else long.scale,
            )
        return self._tables[frequencies].sym_name.data


def identifier(text: str) -> str:
    """A name that the textual form takes: letters, digits and underscores, no digit first."""
    cleaned = re.sub(r"\W+", "_", text).strip("_")
    return cleaned if cleaned and not cleaned[0].isdigit() else f"v{cleaned}"
