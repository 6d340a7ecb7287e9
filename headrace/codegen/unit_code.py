"""The epilogue on one unit: a few rows of a segment's products, of one token."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.ir import Operation, SSAValue

from headrace.codegen.append_code import AppendCode
from headrace.codegen.norm_code import NormCode
from headrace.codegen.places import Places
from headrace.codegen.rope_code import RopeCode
from headrace.codegen.row_kernels import add_row, copy_row, map_rows
from headrace.codegen.tile import F32, Value
from headrace.codegen.tile_format import TILE_ROWS
from headrace.codegen.widths import FLOAT, padded, unit_tiles
from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp, RopeOp
from headrace.ir.model_ops import LinearOp, MapOp, NormOp, ReshapeOp
from headrace.ir.shapes import features_of
from headrace.ir.stages import Segment, epilogue


class UnitCode:
    """Emits one unit's epilogue.

    products: where the unit's products are, linear after linear; unit: its number within the
    segment; row: of the token.
    """

    def __init__(
        self, places: Places, segment: Segment, products: Value, unit: Value, row: Value
    ) -> None:
        self.at, self.e, self.stage = places, places.e, places.stage
        self.segment, self.unit, self.row = segment, unit, row
        self.rows = segment.unit_rows
        self.first = unit * self.rows
        step = unit_tiles(segment) * TILE_ROWS
        self.found: dict[SSAValue, Value] = {
            linear.result: self.e.offset(products, index * step, F32)
            for index, linear in enumerate(segment.linears)
        }

    def emit(self) -> None:
        for linear in self.segment.linears:
            for bias in linear.bias:
                addend = self.e.offset(self.at.vector_weight(bias), self.first, F32)
                add_row(self.e, self.found[linear.result], addend, self.rows)
        for op in epilogue(self.stage):
            if any(value in self.found for value in op.operands):
                self._emit_op(op)
        self._yield_products()

    def _yield_products(self) -> None:
        for inner, result in zip(self.stage.yielded, self.stage.results_, strict=True):
            if isinstance(inner.owner, LinearOp) and inner in self.found:
                copy_row(self.e, self.found[inner], self._outside(result), self.rows)

    def _emit_op(self, op: Operation) -> None:
        match op:
            case AppendOp():
                self._append(op)
            case ReshapeOp():
                self._reshape(op)
            case MapOp():
                self._map(op)
            case NormOp():
                self._norm(op)
            case RopeOp():
                self._rope(op)
            case _:
                raise ProgramError(f"no code for {op.name} in an epilogue", where=self.at.name)

    def _outside(self, value: SSAValue) -> Value:
        """Where the unit's rows of a value that stages exchange are, for this token."""
        if self.at.plan.storage(value) == "partial":
            raise ProgramError("an epilogue does not merge attention's parts", where=self.at.name)
        return self.e.offset(self.at.rows_of(value)(self.row), self.first, F32)

    def _target(self, value: SSAValue) -> Value:
        """Where a value is put: into the stage's result, or aside."""
        yielded = list(self.stage.yielded)
        if value in yielded:
            return self._outside(self.stage.results_[yielded.index(value)])
        return self.e.stack(FLOAT * padded(self.rows))

    def _reshape(self, op: ReshapeOp) -> None:
        self.found[op.result] = self.found[op.input]
        if op.result in self.stage.yielded:
            copy_row(self.e, self.found[op.result], self._target(op.result), self.rows)

    def _map(self, op: MapOp) -> None:
        out = self._target(op.result)
        inputs = [self.found.get(value) or self._outside(value) for value in op.inputs]
        map_rows(self.e, op.block, inputs, out, self.rows)
        self.found[op.result] = out

    def _norm(self, op: NormOp) -> None:
        out = self._target(op.result)
        norm = NormCode(self.at, op, self.first)
        size = features_of(op.result)[1]
        for start, x, y in self._heads(op.input, out, size):
            norm.emit(x, y, start)
        self.found[op.result] = out

    def _rope(self, op: RopeOp) -> None:
        out = self._target(op.result)
        rope = RopeCode(self.at, op, self.row)
        for _, x, y in self._heads(op.input, out, rope.size):
            rope.emit(x, y)
        self.found[op.result] = out

    def _heads(self, source: SSAValue, out: Value, size: int) -> Iterator[tuple[int, Value, Value]]:
        """The first feature of each head of the unit, and where it is in input and result."""
        for start in range(0, self.rows, size):
            place = self.e.offset(self.found[source], start, F32)
            yield start, place, self.e.offset(out, start, F32)

    def _append(self, op: AppendOp) -> None:
        append = AppendCode(self.at, op, self.row)
        for value, size, store in append.parts:
            if value not in self.found:
                continue
            for index, start in enumerate(range(0, self.rows, size)):
                head = self.unit * (self.rows // size) + index
                append.emit(store, head, self.found[value], start)
