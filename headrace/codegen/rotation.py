"""Rotary position embedding (Su et al. 2021) of one head of float32 features in memory."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.row_kernels import copy_row, load_lanes
from headrace.codegen.tile import F32, LANES, Emitter, Value, vector


def rotate_halves(
    e: Emitter, source: Value, out: Value, cosines: Value, sines: Value, pairs: int
) -> None:
    """Rotate pairs (i, i + pairs): the order of transformers. `out` may not overlap `source`."""
    for index, mask in e.lanes(pairs):
        cosine, sine = load_lanes(e, cosines, index, mask), load_lanes(e, sines, index, mask)
        low = load_lanes(e, source, index, mask)
        high = load_lanes(e, source, index + pairs, mask)
        e.store(low * cosine - high * sine, e.offset(out, index, F32), mask)
        e.store(high * cosine + low * sine, e.offset(out, index + pairs, F32), mask)


def rotate_pairs(
    e: Emitter, source: Value, out: Value, cosines: Value, sines: Value, pairs: int
) -> None:
    """Rotate pairs (2i, 2i + 1): the paper's order. `out` may not overlap `source`."""
    lanes = range(LANES)
    sign = Value(e, ir.Constant(vector(F32), [1.0 if lane % 2 else -1.0 for lane in lanes]))
    for index, mask in e.lanes(2 * pairs):
        used = LANES if mask is None else 2 * pairs % LANES
        own, half = e.first_lanes(used // 2), index // 2
        cosine, sine = (_each_twice(e, load_lanes(e, at, half, own)) for at in (cosines, sines))
        value = load_lanes(e, source, index, mask)
        other = e.shuffle(value, value, [lane ^ 1 for lane in lanes])
        e.store(value * cosine + other * (sine * sign), e.offset(out, index, F32), mask)


def _each_twice(e: Emitter, value: Value) -> Value:
    """Lanes 0, 0, 1, 1, 2, 2, ... of a vector."""
    return e.shuffle(value, value, [lane // 2 for lane in range(LANES)])


def copy_rest(e: Emitter, source: Value, out: Value, rotated: int, size: int) -> None:
    """The features of a head that are not rotated."""
    if rotated < size:
        rest = e.offset(out, rotated, F32)
        copy_row(e, e.offset(source, rotated, F32), rest, size - rotated)
