"""A product stage: whole-row prologue, products on the worker's rows, epilogue on them."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.codegen.activations import RECORD_BYTES
from headrace.codegen.places import Places
from headrace.codegen.quantise import quantise_row
from headrace.codegen.row_blocks import RowBlocks
from headrace.codegen.row_code import RowCode
from headrace.codegen.row_kernels import copy_row, pad_row
from headrace.codegen.segment_code import Factor, SegmentCode
from headrace.codegen.tile import F32, Value
from headrace.codegen.tile_format import TILE_COLS, Form, tile_format
from headrace.codegen.token_blocks import BlockWalk, token_blocks
from headrace.codegen.trace import Trace
from headrace.codegen.widths import padded, weight_format
from headrace.errors import ProgramError
from headrace.ir.shapes import weight_shape
from headrace.ir.shares import bound_ranges, shard_of
from headrace.ir.stages import Segment, has_axis, prologue, segments


def emit_product_stage(places: Places) -> None:
    """Emit a product stage: all rows at once, or block by block where its reader takes blocks."""
    if not places.plan.streams_rows(places.stage):
        _emit_rows(places)
        return
    with RowBlocks(places.e, places.frame).each() as block:
        _emit_rows(places.of_block(*block))


def _emit_rows(places: Places) -> None:
    """A worker's share of all segments, one after the other."""
    parts = segments(places.stage)
    factor = Factor(places, *_own_columns(places, parts), _form(places, parts))
    _emit_prologue(places, parts[0], factor)
    with places.e.when(places.first_row.equals(0)):
        Trace(places.e, places.frame, places.plan.traced).mark("entered")
    weights = _stream_start(places)
    for index, segment in enumerate(parts):
        weights = SegmentCode(places, segment, factor, index).emit(weights)


def _own_columns(places: Places, parts: Sequence[Segment]) -> tuple[Value, tuple[int, ...]]:
    """The first of the weights' columns that the worker reads, and how many each worker does."""
    cols = weight_shape(parts[0].linears[0].weight)[1]
    if not has_axis(places.stage, "columns"):
        return places.e.i64(0), (cols,) * places.plan.workers
    own = bound_ranges(shard_of(places.stage), cols)
    first = places.by_worker([each.start for each in own], "first_column")
    return first, tuple(len(each) for each in own)


def _form(places: Places, parts: Sequence[Segment]) -> Form:
    """How the common input enters all products of the stage."""
    weights = [linear.weight for segment in parts for linear in segment.linears]
    forms: set[Form] = {tile_format(weight_format(weight)).activation for weight in weights}
    if len(forms) != 1:
        raise ProgramError(
            "the products of a stage take their input in one format", where=places.name
        )
    return forms.pop()


def _emit_prologue(places: Places, segment: Segment, factor: Factor) -> None:
    """Every row of the products' input, in the form in which it enters them."""
    e = places.e
    value = segment.linears[0].input
    rows = RowCode(places, prologue(places.stage))
    cols = factor.counts[0]
    padding = places.scratch_row() if cols % TILE_COLS else None
    blocks = BlockWalk(e, places.row_count, token_blocks(e.features, factor.form).sizes)
    with e.range(0, places.row_count) as index:
        row = places.first_row + index
        rows.emit(row)
        source = rows.place(value, row)
        if places.stage is places.plan.head:
            _keep_hidden(places, source, row)
        if padding is not None:
            pad_row(e, source, padding, cols, padded(cols))
            source = padding
        blocks.enter(index)
        first = blocks.first * factor.blocks + (index - blocks.first)
        _enter(places, e.offset(source, factor.first, F32), first, blocks.size, factor)


def _keep_hidden(places: Places, source: Value, row: Value) -> None:
    """Worker 0 keeps a row of the head's input for the host, which may want it (embeddings)."""
    e, plan = places.e, places.plan
    at = e.offset(places.frame.get("shared"), plan.hidden_at)
    with e.when(places.frame.get("worker").equals(0)):
        copy_row(e, source, e.offset(at, row * padded(plan.hidden), F32), plan.hidden)


def _enter(places: Places, source: Value, first: Value, step: Value, factor: Factor) -> None:
    """A row as records, from number `first` on and `step` records apart."""
    e, size = places.e, RECORD_BYTES[factor.form]
    records = e.offset(places.private(places.plan.scratch.records), first * size)
    if factor.form == "f32":
        with e.range(0, factor.blocks) as block:
            column = e.offset(source, block * TILE_COLS, F32)
            copy_row(e, column, e.offset(records, block * (step * size)), TILE_COLS)
        return
    kernel = quantise_row(e.module, e.features)
    e.call(kernel, source, records, factor.blocks, step * size)


def _stream_start(places: Places) -> Value:
    """Where this worker's weights for this stage and trip start."""
    streams = places.plan.stage_streams(places.stage)
    base = places.frame.get("stream")
    at = places.by_worker([stream.at.data[0] for stream in streams], "at")
    trip = places.by_worker([stream.trip.data[0] for stream in streams], "trip")
    return places.e.offset(base, at + places.trip * trip)
