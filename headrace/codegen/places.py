"""Addresses of a stage's values, as code: in the worker's frame and in constant tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from xdsl.ir import SSAValue

from headrace.codegen.buffers import has_output_rows
from headrace.codegen.frame import Frame, worker_table
from headrace.codegen.plan import Plan
from headrace.codegen.tile import F32, I64, Emitter, Value
from headrace.codegen.widths import FLOAT, padded, width
from headrace.ir.mapping_ops import StageOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.stages import stage_name

#: The address of a row by its number.
Rows = Callable[[Value], Value]


@dataclass
class Places:
    """Where a stage's code finds things, in a function that has the worker's frame.

    trip: the loop's current trip, 0 outside of the loop.
    block: the first of the rows that the code is for, and their number; None: all of the step's.
    """

    e: Emitter
    frame: Frame
    plan: Plan
    stage: StageOp
    trip: Value
    block: tuple[Value, Value] | None = None
    _scratch_rows: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The stage, for messages."""
        return f"stage @{stage_name(self.stage)}"

    @property
    def row_count(self) -> Value:
        """The number of rows of this stage: tokens of the step or block, or wanted outputs."""
        if self.block is not None:
            return self.block[1]
        return self.frame.get("outputs" if has_output_rows(self.stage) else "tokens")

    @property
    def first_row(self) -> Value:
        """The first of these rows."""
        return self.e.i64(0) if self.block is None else self.block[0]

    def of_block(self, first: Value, count: Value) -> Places:
        """The same for the rows of one block."""
        return replace(self, block=(first, count))

    def private(self, offset: int) -> Value:
        """An address in the worker's private memory."""
        return self.e.offset(self.frame.get("private"), offset)

    def buffer(self, value: SSAValue) -> Value:
        """The first row of a value that stages exchange."""
        private = self.plan.storage(value) == "private"
        area = self.frame.get("private" if private else "shared")
        return self.e.offset(area, self.plan.place(value))

    def rows_of(self, value: SSAValue) -> Rows:
        """The address of each row of a value that stages exchange."""
        base, stride = self.buffer(value), padded(width(value))
        return lambda row: self.e.offset(base, row * stride, F32)

    def own_part(self, result: SSAValue) -> Value:
        """The first row of the worker's part of the sums that are the stage's result."""
        part = self.frame.get("worker") * self.plan.sum_bytes(self.stage, result)
        return self.e.offset(self.buffer(result), part)

    def parts_of(self, stage: StageOp, value: SSAValue, row: Value) -> list[Value]:
        """A row of each worker's part of the sums that are another stage's result."""
        base, stride = self.rows_of(value)(row), self.plan.sum_bytes(stage, value)
        return [self.e.offset(base, worker * stride) for worker in range(self.plan.workers)]

    def scratch_row(self) -> Value:
        """A row of private memory for one intermediate value."""
        row_bytes = FLOAT * self.plan.row_floats
        offset = self.plan.scratch.rows + row_bytes * self._scratch_rows
        self._scratch_rows += 1
        return self.private(offset)

    def vector_weight(self, value: SSAValue) -> Value:
        """The address of a one-dimensional weight of this trip."""
        owner = value.owner
        assert isinstance(owner, WeightOp)
        place = self.plan.vectors[owner]
        base = self.e.offset(self.frame.get("vectors"), place.at)
        return self.e.offset(base, self.trip * place.trip) if place.trip else base

    def by_trip(self, values: Sequence[int], name: str) -> Value:
        """An attribute's entry for this trip."""
        if len(set(values)) == 1:
            return self.e.i64(values[0])
        return self.e.load(self.e.offset(self.e.table(values, name), self.trip, I64), I64)

    def by_worker(self, values: Sequence[int], name: str) -> Value:
        """This worker's entry of a constant of the stage."""
        if len(set(values)) == 1:
            return self.e.i64(values[0])
        return worker_table(self.e, self.frame, values, f"{stage_name(self.stage)}_{name}")
