"""Operators on one row (or head) of float32 features in memory."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Block

from headrace.codegen.maps import emit_map
from headrace.codegen.tile import F32, LANES, Emitter, Value, vector


def _load(e: Emitter, row: Value, index: Value | int, mask: Value | None) -> Value:
    return e.load(e.offset(row, index, F32), vector(F32), mask)


def copy_row(e: Emitter, source: Value, out: Value, count: int) -> None:
    """out[i] = source[i]."""
    for index, mask in e.lanes(count):
        e.store(_load(e, source, index, mask), e.offset(out, index, F32), mask)


def pad_row(e: Emitter, source: Value, out: Value, count: int, whole: int) -> None:
    """out[i] = source[i] for i < count, 0 up to `whole`, a multiple of LANES."""
    for index in range(count // LANES * LANES, whole, LANES):
        e.store(e.const(0.0, vector(F32)), e.offset(out, index, F32))
    copy_row(e, source, out, count)


def add_row(e: Emitter, out: Value, addend: Value, count: int) -> None:
    """out[i] += addend[i]."""
    for index, mask in e.lanes(count):
        value = _load(e, out, index, mask)
        value = value + _load(e, addend, index, mask)
        e.store(value, e.offset(out, index, F32), mask)


def map_rows(e: Emitter, block: Block, inputs: Sequence[Value], out: Value, count: int) -> None:
    """out[i] = the region's value for inputs[..][i]."""
    for index, mask in e.lanes(count):
        values = [_load(e, place, index, mask) for place in inputs]
        e.store(emit_map(e, block, values), e.offset(out, index, F32), mask)


def norm_row(
    e: Emitter,
    source: Value,
    weight: Value,
    out: Value,
    count: int,
    epsilon: float,
    gain_offset: float,
) -> None:
    """out = source / sqrt(mean(source^2) + epsilon) * (weight + gain_offset).

    The root-mean-square norm (Zhang and Sennrich 2019).
    """
    total = e.variable(e.const(0.0, vector(F32)))
    for index, mask in e.lanes(count):
        value = _load(e, source, index, mask)
        total.set(e.fma(value, value, total.get()))
    mean = e.reduce_add(total.get()) * (1.0 / count)
    inverse = 1.0 / e.square_root(mean + epsilon)
    for index, mask in e.lanes(count):
        value = _load(e, source, index, mask)
        gain = _load(e, weight, index, mask)
        if gain_offset:
            gain = gain + gain_offset
        e.store(value * inverse * gain, e.offset(out, index, F32), mask)


def rotate_row(
    e: Emitter, source: Value, out: Value, cosines: Value, sines: Value, pairs: int
) -> None:
    """Rotate pairs (i, i + pairs) of one head; `source` and `out` may not overlap.

    Rotary position embedding (Su et al. 2021) in the half-split order of transformers.
    """
    for index, mask in e.lanes(pairs):
        cosine, sine = _load(e, cosines, index, mask), _load(e, sines, index, mask)
        low, high = _load(e, source, index, mask), _load(e, source, index + pairs, mask)
        e.store(low * cosine - high * sine, e.offset(out, index, F32), mask)
        e.store(high * cosine + low * sine, e.offset(out, index + pairs, F32), mask)
