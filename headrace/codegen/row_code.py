"""Row-wise operators on whole rows: what every worker computes for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, OpResult, SSAValue

from headrace.codegen.append_code import AppendCode
from headrace.codegen.attention import merge_partials
from headrace.codegen.embeddings import table_name
from headrace.codegen.norm_code import NormCode
from headrace.codegen.places import Places, Rows
from headrace.codegen.rope_code import RopeCode
from headrace.codegen.row_kernels import copy_row, map_rows, sum_rows
from headrace.codegen.rows import dequantise_row
from headrace.codegen.tile import F32, I32, I64, Value
from headrace.codegen.widths import width
from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import EmbeddingOp, MapOp, NormOp, ReshapeOp, SelectOp
from headrace.ir.shapes import features_of
from headrace.ir.stages import outer_values, prologue, stage_kind


class RowCode:
    """Emits row-wise operators for one row after another, each result in a row of its own."""

    def __init__(self, places: Places, ops: Sequence[Operation]) -> None:
        self.at, self.e = places, places.e
        self.ops = ops
        outer = outer_values(places.stage)
        self._yielded: dict[SSAValue, Rows] = {
            inner: places.rows_of(result)
            for inner, result in zip(places.stage.yielded, places.stage.results_, strict=True)
            if isinstance(inner.type, TensorType) and (inner.owner in ops or inner in outer)
        }
        self._moved = [inner for inner in self._yielded if inner in outer]
        self._scratch: dict[SSAValue, Value] = {
            op.results[0]: places.scratch_row()
            for op in ops
            if not isinstance(op, SelectOp | ReshapeOp | AppendOp)
            and op.results[0] not in self._yielded
        }
        self._found: dict[SSAValue, Value] = {}

    def emit(self, row: Value) -> None:
        """Compute all operators for one row, and copy what the stage hands on as it is."""
        self._found = {}
        for op in self.ops:
            if isinstance(op, AppendOp):
                self._append(op, row)
            else:
                self._found[op.results[0]] = self._emit_op(op, row)
        for value in self._moved:
            self._handed_on(value, self.place(value, row), row)

    def place(self, value: SSAValue, row: Value) -> Value:
        """Where the row of a value is that was just computed, or comes from another stage."""
        if value in self._found:
            return self._found[value]
        source = self._outside(value, row)
        if self.at.plan.storage(value) == "partial":
            self._found[value] = source
        return source

    def _outside(self, value: SSAValue, row: Value) -> Value:
        """Where a row of another stage's value is, merged from its parts if it has any."""
        if self.at.plan.storage(value) != "partial":
            return self.at.rows_of(value)(row)
        assert isinstance(value, OpResult)
        assert isinstance(value.op, StageOp)
        if stage_kind(value.op) == "attention":
            return self._merge(value, row)
        out = self.at.scratch_row()
        sum_rows(self.e, self.at.parts_of(value.op, value, row), out, width(value))
        return out

    def _emit_op(self, op: Operation, row: Value) -> Value:
        match op:
            case SelectOp():
                return self._select(op, row)
            case ReshapeOp():
                return self._reshape(op, row)
            case MapOp():
                return self._map(op, row)
            case NormOp():
                return self._norm(op, row)
            case RopeOp():
                return self._rope(op, row)
            case EmbeddingOp():
                return self._embed(op, row)
            case _:
                raise ProgramError(f"no code for {op.name} on whole rows", where=self.at.name)

    def _target(self, result: SSAValue, row: Value) -> Value:
        rows = self._yielded.get(result)
        return self._scratch[result] if rows is None else rows(row)

    def _select(self, op: SelectOp, row: Value) -> Value:
        e, frame = self.e, self.at.frame
        index = e.load(e.offset(frame.get("output_rows"), row, I32), I32)
        source = self._outside(op.input, e.sext(index, I64))
        return self._handed_on(op.result, source, row)

    def _reshape(self, op: ReshapeOp, row: Value) -> Value:
        return self._handed_on(op.result, self.place(op.input, row), row)

    def _handed_on(self, value: SSAValue, source: Value, row: Value) -> Value:
        """Where a value's row is that is at `source`: also in the stage's result, if it is one."""
        rows = self._yielded.get(value)
        if rows is None:
            return source
        copy_row(self.e, source, rows(row), width(value))
        return rows(row)

    def _map(self, op: MapOp, row: Value) -> Value:
        out = self._target(op.result, row)
        inputs = [self.place(value, row) for value in op.inputs]
        map_rows(self.e, op.block, inputs, out, width(op.result))
        return out

    def _norm(self, op: NormOp, row: Value) -> Value:
        """A norm of the whole row, or of each of its heads."""
        out = self._target(op.result, row)
        source = self.place(op.input, row)
        norm = NormCode(self.at, op)
        for start, x, y in self._heads(op.input, source, out):
            norm.emit(x, y, start)
        return out

    def _rope(self, op: RopeOp, row: Value) -> Value:
        out = self._target(op.result, row)
        source = self.place(op.input, row)
        rope = RopeCode(self.at, op, row)
        for _, x, y in self._heads(op.input, source, out):
            rope.emit(x, y)
        return out

    def _append(self, op: AppendOp, row: Value) -> None:
        append = AppendCode(self.at, op, row)
        for value, size, store in append.parts:
            source = self.place(value, row)
            with self.e.range(0, append.cache.heads) as head:
                append.emit(store, head, source, head * size)

    def _heads(
        self, value: SSAValue, source: Value, out: Value
    ) -> Iterator[tuple[Value | int, Value, Value]]:
        """The first feature of each head, and where it is in input and result: a loop."""
        e, size, whole = self.e, features_of(value)[-1], width(value)
        if size == whole:
            yield 0, e.offset(source, 0, F32), e.offset(out, 0, F32)
            return
        with e.range(0, whole, size) as start:
            yield start, e.offset(source, start, F32), e.offset(out, start, F32)

    def _embed(self, op: EmbeddingOp, row: Value) -> Value:
        e = self.e
        out = self._target(op.result, row)
        part = self.at.plan.rows[table_name(op)]
        kernel = dequantise_row(e.module, e.features, part.format, part.cols)
        index = self._index(op, row)
        table = self.at.frame.get("rows")
        table = e.offset(table, part.at) if part.at else table
        e.call(kernel, e.offset(table, index * part.row_bytes), out)
        return out

    def _index(self, op: EmbeddingOp, row: Value) -> Value:
        """Which row of the table: the token's number, or its position."""
        e, program = self.e, self.at.plan.program
        if op.ids is program.positions:
            return self.at.frame.position(row)
        if op.ids is not program.tokens:
            raise ProgramError("an embedding is of tokens or positions", where=self.at.name)
        token = e.load(e.offset(self.at.frame.get("token_ids"), row, I32), I32)
        return e.sext(token, I64)

    def _merge(self, value: SSAValue, row: Value) -> Value:
        """An attention's row: of one token it is merged from partials, of several it is final."""
        e, plan = self.e, self.at.plan
        shape = plan.attention_shape(_attention(value))
        merge = merge_partials(e.module, e.features, shape, plan.workers)
        merged, base = self.at.scratch_row(), self.at.buffer(value)
        single = self.at.frame.get("tokens").equals(1)
        with e.when(single):
            e.call(merge, base, merged)
        final = e.offset(base, row * shape.result_features, F32)
        return e.select(single, merged, final)


def _attention(value: SSAValue) -> AttentionOp:
    """The operator of the stage that leaves a partial value."""
    assert isinstance(value, OpResult)
    assert isinstance(value.op, StageOp)
    return next(op for op in prologue(value.op) if isinstance(op, AttentionOp))
