"""Operators on one row (or head) of float32 features in memory."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Block

from headrace.codegen.maps import emit_map
from headrace.codegen.tile import F32, LANES, Emitter, Value, vector


def load_lanes(e: Emitter, row: Value, index: Value | int, mask: Value | None) -> Value:
    """A vector of a row's features, at `index`."""
    return e.load(e.offset(row, index, F32), vector(F32), mask)


def copy_row(e: Emitter, source: Value, out: Value, count: int) -> None:
    """out[i] = source[i]."""
    for index, mask in e.lanes(count):
        e.store(load_lanes(e, source, index, mask), e.offset(out, index, F32), mask)


def pad_row(e: Emitter, source: Value, out: Value, count: int, whole: int) -> None:
    """out[i] = source[i] for i < count, 0 up to `whole`, a multiple of LANES."""
    for index in range(count // LANES * LANES, whole, LANES):
        e.store(e.const(0.0, vector(F32)), e.offset(out, index, F32))
    copy_row(e, source, out, count)


def add_row(e: Emitter, out: Value, addend: Value, count: int) -> None:
    """out[i] += addend[i]."""
    for index, mask in e.lanes(count):
        value = load_lanes(e, out, index, mask)
        value = value + load_lanes(e, addend, index, mask)
        e.store(value, e.offset(out, index, F32), mask)


def sum_rows(e: Emitter, parts: Sequence[Value], out: Value, count: int) -> None:
    """out[i] = the sum of parts[..][i], from the first to the last."""
    for index, mask in e.lanes(count):
        total = load_lanes(e, parts[0], index, mask)
        for part in parts[1:]:
            total = total + load_lanes(e, part, index, mask)
        e.store(total, e.offset(out, index, F32), mask)


def map_rows(e: Emitter, block: Block, inputs: Sequence[Value], out: Value, count: int) -> None:
    """out[i] = the region's value for inputs[..][i]."""
    for index, mask in e.lanes(count):
        values = [load_lanes(e, place, index, mask) for place in inputs]
        e.store(emit_map(e, block, values), e.offset(out, index, F32), mask)
