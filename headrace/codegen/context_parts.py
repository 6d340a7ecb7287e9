"""The parts into which a row's context is cut, so that its result does not depend on its company.

A row sees positions `start` .. `position`. Its blocks of 64 positions are cut into as many parts as
there are workers: a function of position, window and number of workers only. Each part has an
online softmax of its own, and parts are merged in order, whoever computes them.
"""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.mathematics import exp
from headrace.codegen.tile import F32, I64, LANES, PTR, Emitter, Value, function, vector


def first_seen(e: Emitter, position: Value, window: Value) -> Value:
    """The first position that a row sees; window 0 is all before it."""
    return e.select(window > 0, e.maximum(position + 1 - window, e.i64(0)), 0)


def part_bounds(
    e: Emitter, position: Value, window: Value, part: Value, parts: int
) -> tuple[Value, Value]:
    """Where a part of the context of the row at `position` begins and ends: whole blocks."""
    first = first_seen(e, position, window) // KV_BLOCK
    blocks = position // KV_BLOCK + 1 - first
    begin, end = (first + blocks * number // parts for number in (part, part + 1))
    return begin * KV_BLOCK, end * KV_BLOCK


def part_seen(
    e: Emitter, position: Value, window: Value, part: Value, parts: int
) -> tuple[Value, Value]:
    """The positions of a part that the row at `position` sees: from, and up to."""
    begin, end = part_bounds(e, position, window, part, parts)
    return e.maximum(begin, first_seen(e, position, window)), e.minimum(end, position + 1)


def merge_parts(module: ir.Module, features: frozenset[str], shape: AttentionShape) -> ir.Function:
    """The function `(sums, largest, weight, stride, parts, out)`: one head's parts as its result.

    sums: f32 `[value_head]`, largest and weight: f32, each of the first part; the next part's are
    `stride` floats later. out: f32 `[value_head]`.
    """
    name = f"merge_parts_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    e, args = function(module, name, [PTR, PTR, PTR, I64, I64, PTR], features)
    sums, largest, weight, stride, parts, out = args
    most = e.variable(e.load(largest, F32))
    with e.range(1, parts) as part:
        most.set(e.maximum(most.get(), e.load(e.offset(largest, part * stride, F32), F32)))
    zero = e.const(0.0, vector(F32))
    total = e.variable(zero)
    values = [e.variable(zero) for _ in range(shape.row_vectors)]
    with e.range(0, parts) as part:
        place = part * stride
        own = e.load(e.offset(largest, place, F32), F32)
        factor = exp(e, e.splat(own - most.get()))
        seen = e.splat(e.load(e.offset(weight, place, F32), F32))
        total.set(e.fma(factor, seen, total.get()))
        for index, value in enumerate(values):
            source = e.offset(sums, place + index * LANES, F32)
            number = e.load(source, vector(F32), shape.cache.value_mask(e, index))
            value.set(e.fma(factor, number, value.get()))
    inverse = 1.0 / total.get()
    for index, value in enumerate(values):
        # Adding zero takes the sign of a sum that is zero, which blocks of weight zero may change.
        result = value.get() * inverse + 0.0
        e.store(result, e.offset(out, index * LANES, F32), shape.cache.value_mask(e, index))
    e.give()
    return e.function
