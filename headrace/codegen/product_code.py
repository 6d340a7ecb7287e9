"""A product stage: whole-row prologue, products on the worker's rows, epilogue on them."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.codegen.places import Places
from headrace.codegen.quantise import quantise_row
from headrace.codegen.row_code import RowCode
from headrace.codegen.row_kernels import copy_row, pad_row
from headrace.codegen.segment_code import Factor, SegmentCode
from headrace.codegen.tile import F32, Value
from headrace.codegen.tile_format import TILE_COLS, tile_format
from headrace.codegen.trace import Trace
from headrace.codegen.widths import weight_format
from headrace.errors import ProgramError
from headrace.ir.shapes import weight_shape
from headrace.ir.stages import Segment, prologue, segments


def emit_product_stage(places: Places) -> None:
    """Emit a product stage: a worker's share of all its segments, one after the other."""
    parts = segments(places.stage)
    cols = weight_shape(parts[0].linears[0].weight)[1]
    factor = Factor(-(-cols // TILE_COLS), _activation(places, parts))
    _emit_prologue(places, parts[0], cols, factor)
    Trace(places.e, places.frame, places.plan.traced).mark("entered")
    weights = _stream_start(places)
    before = 0
    for index, segment in enumerate(parts):
        code = SegmentCode(places, segment, factor, index, before)
        weights = code.emit(weights)
        before += segment.units


def _activation(places: Places, parts: Sequence[Segment]) -> str:
    """How the common input enters all products of the stage."""
    weights = [linear.weight for segment in parts for linear in segment.linears]
    forms = {tile_format(weight_format(weight)).activation for weight in weights}
    if len(forms) != 1:
        raise ProgramError(
            "the products of a stage take their input in one format", where=places.name
        )
    return forms.pop()


def _emit_prologue(places: Places, segment: Segment, cols: int, factor: Factor) -> None:
    """Every row of the products' input, in the form in which it enters them."""
    e = places.e
    value = segment.linears[0].input
    rows = RowCode(places, prologue(places.stage))
    padding = places.scratch_row() if cols != factor.cols else None
    with e.range(0, places.row_count) as row:
        rows.emit(row)
        source = rows.place(value, row)
        if padding is not None:
            pad_row(e, source, padding, cols, factor.cols)
            source = padding
        _enter(places, source, row, factor)


def _enter(places: Places, source: Value, row: Value, factor: Factor) -> None:
    e, scratch = places.e, places.plan.scratch
    values = places.private(scratch.values)
    if factor.activation == "f32":
        copy_row(e, source, e.offset(values, row * factor.cols, F32), factor.cols)
        return
    kernel = quantise_row(e.module, e.features)
    parameters = [
        e.offset(places.private(place), row * (factor.blocks * each), F32)
        for place, each in ((scratch.scales, 1), (scratch.sums, 2), (scratch.offsets, 1))
    ]
    out = e.offset(values, row * factor.cols)
    e.call(kernel, source, out, *parameters, e.i64(factor.blocks))


def _stream_start(places: Places) -> Value:
    """Where this worker's weights for this stage and trip start."""
    streams = places.plan.stage_streams(places.stage)
    base = places.frame.get("stream")
    at = places.by_worker([stream.at.data[0] for stream in streams], "at")
    trip = places.by_worker([stream.trip.data[0] for stream in streams], "trip")
    return places.e.offset(base, at + places.trip * trip)
