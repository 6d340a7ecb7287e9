"""The code of one stage: prologue, products and epilogue, or attention, embedding, sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, OpResult, SSAValue

from headrace.codegen.attention import attention_share, merge_partials
from headrace.codegen.frame import Frame
from headrace.codegen.layout import TILE_COLS, TILE_ROWS, tile_format
from headrace.codegen.maps import emit_map
from headrace.codegen.plan import (
    Plan,
    chunk_units,
    padded,
    unit_scratch_rows,
    unit_tiles,
    weight_format,
    width,
)
from headrace.codegen.product import product
from headrace.codegen.quantise import quantise_row
from headrace.codegen.rows import dequantise_row, stored_row_bytes
from headrace.codegen.sampling import sample_token
from headrace.codegen.tile import F32, I32, I64, LANES, Emitter, Value, vector
from headrace.errors import ProgramError
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import (
    AppendOp,
    AttentionOp,
    EmbeddingOp,
    LinearOp,
    MapOp,
    NormOp,
    ReshapeOp,
    RopeOp,
    SelectOp,
    WeightOp,
    features_of,
    weight_shape,
)
from headrace.ir.stages import (
    Segment,
    epilogue,
    outer_values,
    prologue,
    segment_of,
    segments,
    stage_kind,
    stage_name,
)

Rows = Callable[[Value], Value]


@dataclass
class StageCode:
    """Emits one stage into a function that has the worker's frame."""

    e: Emitter
    frame: Frame
    plan: Plan
    stage: StageOp
    trip: Value
    _scratch_rows: int = field(default=0, init=False)

    # places

    def private(self, offset: int) -> Value:
        return self.e.offset(self.frame.get("private"), offset)

    def buffer(self, value: SSAValue) -> Value:
        """The first row of a value that stages exchange."""
        storage, slot = self.plan.stage_buffer(value)
        area = self.frame.get("private" if storage == "private" else "shared")
        return self.e.offset(area, self.plan.slots[(storage, slot)])

    def rows_of(self, value: SSAValue) -> Rows:
        """The address of each row of a value that stages exchange."""
        base, stride = self.buffer(value), padded(width(value))
        return lambda row: self.e.offset(base, row * stride, F32)

    def scratch_row(self) -> Value:
        """A row of private memory for one intermediate value."""
        offset = self.plan.scratch.rows + 4 * self.plan.row_floats * self._scratch_rows
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

    @property
    def row_count(self) -> Value:
        """The number of rows of this stage: tokens of the step, or wanted outputs."""
        return self.frame.get("outputs" if self.plan.is_outputs(self.stage) else "tokens")

    def emit(self) -> None:
        kind = stage_kind(self.stage)
        if kind == "product":
            ProductCode(self).emit()
        elif kind == "attention":
            self._attention()
        elif kind == "embedding":
            self._embedding()
        elif kind == "rowwise":
            self._rowwise()
        else:
            self._sample()

    # stages that are no product

    def _rowwise(self) -> None:
        rows = RowCode(self, prologue(self.stage))
        with self.e.range(0, self.row_count) as row:
            rows.emit(row)

    def _embedding(self) -> None:
        assert self.stage.shard is not None
        ops = prologue(self.stage)
        rows = RowCode(self, ops)
        if self.stage.shard.data.axis == "all":
            first, step = self.e.i64(0), self.e.i64(1)
        else:
            first, step = self.frame.get("worker"), self.e.i64(self.plan.workers)
        with self.e.range(first, self.row_count, step) as row:
            rows.emit(row)

    def _attention(self) -> None:
        op = next(each for each in prologue(self.stage) if isinstance(each, AttentionOp))
        shape = self.plan.attention_shape(op)
        share = attention_share(self.e.module, self.e.features, shape, self.plan.workers)
        layer = self.by_trip(_append(op).layers.data, "cache_layers")
        window = self.by_trip(op.windows.data, "windows")
        query, out = self.buffer(op.query), self.buffer(self.stage.results_[0])
        self.e.call(share, self.frame.base, layer, window, query, out)

    def _sample(self) -> None:
        """Worker 0 alone samples, and leaves the token where the next step finds it."""
        (logits,) = (
            value for value in outer_values(self.stage) if isinstance(value.type, TensorType)
        )
        kernel = sample_token(self.e.module, self.e.features, width(logits))
        with self.e.when(self.frame.get("worker").equals(0)):
            weights = self.private(self.plan.scratch.weights)
            token = self.e.call(kernel, self.frame.base, self.buffer(logits), weights)
            self.e.store(self.e.trunc(token, I32), self.frame.get("token_ids"))


def _append(attention: AttentionOp) -> AppendOp:
    """The append that fills the cache an attention reads."""
    value = attention.cache
    if isinstance(value, OpResult) and isinstance(value.op, StageOp):
        value = value.op.yielded[value.index]
    owner = value.owner
    if not isinstance(owner, AppendOp):
        raise ProgramError("attention must read a cache that an append of its layer returns")
    return owner


class RowCode:
    """Row-wise operators on whole rows: what every worker computes for itself."""

    def __init__(self, code: StageCode, ops: Sequence[Operation]) -> None:
        self.code = code
        self.e = code.e
        self.ops = [op for op in ops if not isinstance(op, AttentionOp)]
        self._yielded: dict[SSAValue, Rows] = {
            inner: code.rows_of(result)
            for inner, result in zip(code.stage.yielded, code.stage.results_, strict=True)
            if inner.owner in self.ops
        }
        self._scratch: dict[SSAValue, Value] = {
            op.results[0]: code.scratch_row()
            for op in self.ops
            if not isinstance(op, SelectOp | ReshapeOp) and op.results[0] not in self._yielded
        }
        self._merged: dict[SSAValue, Value] = {}

    def emit(self, row: Value) -> dict[SSAValue, Value]:
        """Compute all operators for one row; where each value's row is."""
        places: dict[SSAValue, Value] = {}
        for op in self.ops:
            result = op.results[0]
            if isinstance(op, SelectOp):
                places[result] = self._selected(op, row)
            elif isinstance(op, ReshapeOp):
                places[result] = self._reshaped(op, row, places)
            else:
                out = self._target(result, row)
                self._emit_op(op, row, places, out)
                places[result] = out
        return places

    def place(self, value: SSAValue, row: Value, places: dict[SSAValue, Value]) -> Value:
        """Where a value's row is, inside or outside of the stage."""
        if value in places:
            return places[value]
        storage, _ = self.code.plan.stage_buffer(value)
        if storage != "partial":
            return self.code.rows_of(value)(row)
        places[value] = self._merge(value, row)
        return places[value]

    def _target(self, result: SSAValue, row: Value) -> Value:
        rows = self._yielded.get(result)
        return self._scratch[result] if rows is None else rows(row)

    def _selected(self, op: SelectOp, row: Value) -> Value:
        e, frame = self.e, self.code.frame
        index = e.load(e.offset(frame.get("output_rows"), row, I32), I32)
        return self.code.rows_of(op.input)(e.sext(index, I64))

    def _reshaped(self, op: ReshapeOp, row: Value, places: dict[SSAValue, Value]) -> Value:
        source = self.place(op.input, row, places)
        rows = self._yielded.get(op.result)
        if rows is None:
            return source
        self._copy(source, rows(row), width(op.result))
        return rows(row)

    def _copy(self, source: Value, target: Value, count: int) -> None:
        for index, mask in self.e.lanes(count):
            value = self.e.load(self.e.offset(source, index, F32), vector(F32), mask)
            self.e.store(value, self.e.offset(target, index, F32), mask)

    def _merge(self, value: SSAValue, row: Value) -> Value:
        """A partial value's row: merged with one token, final with more."""
        e, plan = self.e, self.code.plan
        assert isinstance(value, OpResult) and isinstance(value.op, StageOp)
        attention = next(op for op in prologue(value.op) if isinstance(op, AttentionOp))
        shape = plan.attention_shape(attention)
        merge = merge_partials(e.module, e.features, shape, plan.workers)
        if value not in self._merged:
            self._merged[value] = self.code.scratch_row()
        merged, base = self._merged[value], self.code.buffer(value)
        single = self.code.frame.get("tokens").equals(1)
        with e.when(single):
            e.call(merge, base, merged)
        final = e.offset(base, row * shape.result_features, F32)
        return e.select(single, merged, final)

    def _emit_op(
        self, op: Operation, row: Value, places: dict[SSAValue, Value], out: Value
    ) -> None:
        if isinstance(op, MapOp):
            inputs = [self.place(value, row, places) for value in op.inputs]
            emit_rows_map(self.e, op, inputs, out, width(op.result))
        elif isinstance(op, NormOp):
            source = self.place(op.input, row, places)
            weight = self.code.vector_weight(op.weight)
            count = features_of(op.input)[-1]
            for part in range(width(op.input) // count):
                start = part * count
                x, y = self.e.offset(source, start, F32), self.e.offset(out, start, F32)
                emit_norm(self.e, op, x, weight, y)
        elif isinstance(op, EmbeddingOp):
            self._embed(op, row, out)
        else:
            raise ProgramError(
                f"no code for {op.name} on whole rows", where=f"stage @{stage_name(self.code.stage)}"
            )

    def _embed(self, op: EmbeddingOp, row: Value, out: Value) -> None:
        e, frame = self.e, self.code.frame
        format, cols = weight_format(op.table), weight_shape(op.table)[1]
        kernel = dequantise_row(e.module, e.features, format, cols)
        token = e.sext(e.load(e.offset(frame.get("token_ids"), row, I32), I32), I64)
        stored = e.offset(frame.get("rows"), token * stored_row_bytes(format, cols))
        e.call(kernel, stored, out)


def emit_rows_map(
    e: Emitter, op: MapOp, inputs: Sequence[Value], out: Value, count: int
) -> None:
    """A map over `count` consecutive features."""
    for index, mask in e.lanes(count):
        values = [e.load(e.offset(place, index, F32), vector(F32), mask) for place in inputs]
        e.store(emit_map(e, op.block, values), e.offset(out, index, F32), mask)


def emit_norm(e: Emitter, op: NormOp, source: Value, weight: Value, out: Value) -> None:
    """A root-mean-square norm over one row or head."""
    count = features_of(op.input)[-1]
    total = e.variable(e.const(0.0, vector(F32)))
    for index, mask in e.lanes(count):
        value = e.load(e.offset(source, index, F32), vector(F32), mask)
        total.set(e.fma(value, value, total.get()))
    mean = e.reduce_add(total.get()) * (1.0 / count)
    inverse = 1.0 / e.square_root(mean + op.epsilon.only)
    for index, mask in e.lanes(count):
        value = e.load(e.offset(source, index, F32), vector(F32), mask)
        gain = e.load(e.offset(weight, index, F32), vector(F32), mask)
        if op.offset.only:
            gain = gain + op.offset.only
        e.store(value * inverse * gain, e.offset(out, index, F32), mask)


class ProductCode:
    """A product stage: whole-row prologue, products on the worker's rows, epilogue on them."""

    def __init__(self, code: StageCode) -> None:
        self.code = code
        self.e, self.frame, self.plan, self.stage = code.e, code.frame, code.plan, code.stage
        self.segments = segments(self.stage)
        first = self.segments[0].linears[0]
        self.input = first.input
        self.cols = weight_shape(first.weight)[1]
        self.blocks = -(-self.cols // TILE_COLS)
        formats = {
            tile_format(weight_format(linear.weight)).activation
            for segment in self.segments
            for linear in segment.linears
        }
        if len(formats) != 1:
            raise ProgramError(
                "the products of a stage take their input in one format",
                where=f"stage @{stage_name(self.stage)}",
            )
        (self.activation,) = formats

    def emit(self) -> None:
        self._prologue()
        weights = self._stream()
        for index, segment in enumerate(self.segments):
            weights = SegmentCode(self, segment, index).emit(weights)

    def _prologue(self) -> None:
        e, scratch = self.e, self.plan.scratch
        rows = RowCode(self.code, prologue(self.stage))
        padding = self.blocks * TILE_COLS
        staging = self.code.scratch_row() if self.cols != padding else None
        with e.range(0, self.code.row_count) as row:
            places = rows.emit(row)
            source = rows.place(self.input, row, places)
            if staging is not None:
                source = self._padded(source, staging)
            self._enter(source, row, scratch)

    def _padded(self, source: Value, staging: Value) -> Value:
        e = self.e
        whole = self.blocks * TILE_COLS
        for index in range(self.cols // LANES * LANES, whole, LANES):
            e.store(e.const(0.0, vector(F32)), e.offset(staging, index, F32))
        for index, mask in e.lanes(self.cols):
            value = e.load(e.offset(source, index, F32), vector(F32), mask)
            e.store(value, e.offset(staging, index, F32), mask)
        return staging

    def _enter(self, source: Value, row: Value, scratch) -> None:
        """One row in the form in which it enters the products."""
        e, width = self.e, self.blocks * TILE_COLS
        values = self.code.private(scratch.values)
        if self.activation == "f32":
            out = e.offset(values, row * width, F32)
            for index, mask in e.lanes(width):
                value = e.load(e.offset(source, index, F32), vector(F32), mask)
                e.store(value, e.offset(out, index, F32), mask)
            return
        quantise = quantise_row(e.module, e.features)
        parameters = [
            e.offset(self.code.private(place), row * self.blocks, F32)
            for place in (scratch.scales, scratch.sums, scratch.offsets)
        ]
        out = e.offset(values, row * width)
        e.call(quantise, source, out, *parameters, e.i64(self.blocks))

    def _stream(self) -> Value:
        """Where this worker's weights for this stage and trip start."""
        streams = self.plan.streams[stage_name(self.stage)]
        base = self.frame.get("stream")
        at = self.by_worker([stream.at.data[0] for stream in streams], "at")
        trip = self.by_worker([stream.trip.data[0] for stream in streams], "trip")
        return self.e.offset(base, at + self.code.trip * trip)

    def by_worker(self, values: Sequence[int], name: str) -> Value:
        if len(set(values)) == 1:
            return self.e.i64(values[0])
        return worker_table(self.e, self.frame, values, f"{stage_name(self.stage)}_{name}")


def worker_table(e: Emitter, frame: Frame, values: Sequence[int], name: str) -> Value:
    """The entry of this worker in a constant table."""
    return e.load(e.offset(e.table(values, name), frame.get("worker"), I64), I64)


class SegmentCode:
    """The products and the epilogue of one segment on the units that a worker owns."""

    def __init__(self, product: ProductCode, segment: Segment, index: int) -> None:
        self.product, self.segment, self.index = product, segment, index
        self.e, self.code, self.plan = product.e, product.code, product.plan
        self.stage = product.stage
        formats = {weight_format(linear.weight) for linear in segment.linears}
        if len(formats) != 1:
            raise ProgramError(
                "linears that meet in one map must have weights of one format",
                where=f"stage @{stage_name(self.stage)}",
            )
        self.format = tile_format(formats.pop())
        self.unit_bytes = (
            len(segment.linears) * unit_tiles(segment) * self.format.tile_bytes(product.cols)
        )

    def emit(self, weights: Value) -> Value:
        """Emit; `weights` is where the segment starts in the stream, the result where it ends."""
        e = self.e
        first, last = self._units()
        direct = self._direct_target()
        if direct is not None:
            self._multiply(weights, direct(first), last - first, padded(width(self._result)))
        else:
            self._in_chunks(weights, first, last)
        return e.offset(weights, (last - first) * self.unit_bytes)

    def _units(self) -> tuple[Value, Value]:
        """The units of this segment that the worker owns."""
        assert self.stage.shard is not None
        before = sum(segment.units for segment in self.product.segments[: self.index])
        bounds = [
            min(max(bound - before, 0), self.segment.units)
            for bound in self.stage.shard.data.bounds
        ]
        low = self.product.by_worker(bounds[:-1], f"first_{self.index}")
        high = self.product.by_worker(bounds[1:], f"last_{self.index}")
        return low, high

    @property
    def _result(self) -> SSAValue:
        return self.segment.linears[0].result

    def _direct_target(self) -> Callable[[Value], Value] | None:
        """Where products go at once, if nothing happens to them after."""
        (*more, linear) = self.segment.linears
        uses = [use.operation for use in linear.result.uses]
        plain = not more and not linear.bias and len(uses) == 1
        if not plain or linear.result not in self.stage.yielded:
            return None
        result = self.stage.results_[list(self.stage.yielded).index(linear.result)]
        rows = self.code.rows_of(result)
        unit = self.segment.unit_rows
        if unit % TILE_ROWS:
            return None
        return lambda first: self.e.offset(rows(self.e.i64(0)), first * unit, F32)

    def _multiply(self, weights: Value, out: Value, units: Value, stride: Value | int) -> None:
        e, scratch = self.e, self.plan.scratch
        kernel = product(e.module, self.format, e.features)
        tiles = units * (unit_tiles(self.segment) * len(self.segment.linears))
        places = [
            self.code.private(place)
            for place in (scratch.values, scratch.scales, scratch.sums, scratch.offsets)
        ]
        blocks = e.i64(self.product.blocks)
        stride = e.like(stride, I64)
        e.call(kernel, weights, *places, blocks, out, tiles, self.code.row_count, stride)

    def _in_chunks(self, weights: Value, first: Value, last: Value) -> None:
        e = self.e
        rows = self.code.row_count
        out = self.code.private(self.plan.scratch.product)
        single = rows.equals(1)
        most = e.select(single, e.i64(self.segment.units), chunk_units(self.segment))
        stride = most * unit_scratch_rows(self.segment)
        with e.range(first, last, most) as start:
            units = e.minimum(most, last - start)
            w = e.offset(weights, (start - first) * self.unit_bytes)
            self._multiply(w, out, units, stride)
            with e.range(0, units) as unit, e.range(0, rows) as row:
                line = e.offset(out, row * stride, F32)
                place = e.offset(line, unit * unit_scratch_rows(self.segment), F32)
                UnitCode(self, place, start + unit, row).emit()


class UnitCode:
    """The epilogue on one unit of rows of one token."""

    def __init__(self, owner: SegmentCode, place: Value, unit: Value, row: Value) -> None:
        self.owner, self.unit, self.row = owner, unit, row
        self.e, self.code, self.segment = owner.e, owner.code, owner.segment
        self.rows = owner.segment.unit_rows
        self.first = unit * self.rows
        step = unit_tiles(owner.segment) * TILE_ROWS
        self.places: dict[SSAValue, Value] = {
            linear.result: self.e.offset(place, index * step, F32)
            for index, linear in enumerate(owner.segment.linears)
        }

    def emit(self) -> None:
        stage = self.owner.stage
        for linear in self.segment.linears:
            for bias in linear.bias:
                self._add_bias(self.places[linear.result], bias)
        for op in epilogue(stage):
            if self._is_own(op):
                self._emit_op(op)
        for inner, result in zip(stage.yielded, stage.results_, strict=True):
            if isinstance(inner.owner, LinearOp) and inner in self.places:
                self._copy(self.places[inner], self._place(result))

    def _is_own(self, op: Operation) -> bool:
        return any(value in self.places for value in op.operands)

    def _add_bias(self, place: Value, bias: SSAValue) -> None:
        e = self.e
        source = e.offset(self.code.vector_weight(bias), self.first, F32)
        for index, mask in e.lanes(self.rows):
            value = e.load(e.offset(place, index, F32), vector(F32), mask)
            value = value + e.load(e.offset(source, index, F32), vector(F32), mask)
            e.store(value, e.offset(place, index, F32), mask)

    def _place(self, value: SSAValue) -> Value:
        """Where the unit's rows of a value from outside are, for this token."""
        return self.e.offset(self.code.rows_of(value)(self.row), self.first, F32)

    def _target(self, value: SSAValue) -> Value:
        stage = self.owner.stage
        if value in stage.yielded:
            return self._place(stage.results_[list(stage.yielded).index(value)])
        return self.e.stack(4 * padded(self.rows))

    def _copy(self, source: Value, target: Value) -> None:
        for index, mask in self.e.lanes(self.rows):
            value = self.e.load(self.e.offset(source, index, F32), vector(F32), mask)
            self.e.store(value, self.e.offset(target, index, F32), mask)

    def _emit_op(self, op: Operation) -> None:
        if isinstance(op, AppendOp):
            self._append(op)
            return
        result = op.results[0]
        if isinstance(op, ReshapeOp):
            self.places[result] = self.places[op.input]
            if result in self.owner.stage.yielded:
                self._copy(self.places[result], self._target(result))
            return
        target = self._target(result)
        if isinstance(op, MapOp):
            inputs = [self.places.get(v) or self._place(v) for v in op.inputs]
            emit_rows_map(self.e, op, inputs, target, self.rows)
        elif isinstance(op, NormOp):
            weight = self.code.vector_weight(op.weight)
            for source, out in self._heads(op.input, target, op.result):
                emit_norm(self.e, op, source, weight, out)
        elif isinstance(op, RopeOp):
            self._rope(op, target)
        else:
            raise ProgramError(f"no code for {op.name} in an epilogue")
        self.places[result] = target

    def _heads(
        self, source: SSAValue, target: Value, result: SSAValue
    ) -> list[tuple[Value, Value]]:
        """Where each head of the unit starts, in the input and in the result."""
        head = features_of(result)[1]
        e, place = self.e, self.places[source]
        return [
            (e.offset(place, start, F32), e.offset(target, start, F32))
            for start in range(0, self.rows, head)
        ]

    def _rope(self, op: RopeOp, target: Value) -> None:
        e, frame = self.e, self.code.frame
        tables = self.code.plan.table_features
        names = op.table_names()
        pairs = tables[names[0]][1]
        before = self.code.by_trip([tables[name][0] for name in names], "rope_tables")
        position = e.sext(e.load(e.offset(frame.get("positions"), self.row, I32), I32), I64)
        table = e.offset(frame.get("tables"), before * frame.get("capacity"), F32)
        cosines = e.offset(table, position * (2 * pairs), F32)
        sines = e.offset(cosines, pairs, F32)
        for source, out in self._heads(op.input, target, op.result):
            emit_rope(e, source, out, cosines, sines, pairs)

    def _append(self, op: AppendOp) -> None:
        e, frame, cache = self.e, self.code.frame, self.code.plan.cache
        position = e.sext(e.load(e.offset(frame.get("positions"), self.row, I32), I32), I64)
        layer = self.code.by_trip(op.layers.data, "cache_layers")
        for value, size, store in (
            (op.key, cache.key_head, cache.store_key),
            (op.value, cache.value_head, cache.store_value),
        ):
            if value not in self.places:
                continue
            for index, start in enumerate(range(0, self.rows, size)):
                head = self.unit * (self.rows // size) + index
                place = cache.head_place(frame, position, layer, head)
                store(e, e.offset(self.places[value], start, F32), place, position)


def emit_rope(
    e: Emitter, source: Value, out: Value, cosines: Value, sines: Value, pairs: int
) -> None:
    """Rotate pairs (i, i + pairs) of one head; `source` and `out` may not overlap."""
    for index, mask in e.lanes(pairs):
        cosine = e.load(e.offset(cosines, index, F32), vector(F32), mask)
        sine = e.load(e.offset(sines, index, F32), vector(F32), mask)
        low = e.load(e.offset(source, index, F32), vector(F32), mask)
        high = e.load(e.offset(source, index + pairs, F32), vector(F32), mask)
        e.store(low * cosine - high * sine, e.offset(out, index, F32), mask)
        e.store(high * cosine + low * sine, e.offset(out, index + pairs, F32), mask)


__all__ = ["StageCode", "segment_of"]
