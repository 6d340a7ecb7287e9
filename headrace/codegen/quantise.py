"""Activations in the form in which they enter a product."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.tile import F32, I8, I32, I64, LANES, PTR, function, vector
from headrace.codegen.tile_format import TILE_COLS


def quantise_row(module: ir.Module, features: frozenset[str]) -> ir.Function:
    """The function `(x, values, scales, sums, offsets, blocks)`: 8 bits with a scale per 32.

    x is f32 `[32 * blocks]`; scale = max |x| / 127, value = x / scale to the nearest even;
    sums has two entries a block, over the values of each half; offsets are scale * both sums.
    """
    found = module.globals.get("quantise_row")
    if found is not None:
        return found
    e, args = function(module, "quantise_row", [PTR] * 5 + [I64], features)
    x, values, scales, sums, offsets, blocks = args
    with e.range(0, blocks) as block:
        start = block * TILE_COLS
        parts = [
            e.load(e.offset(x, start + part, F32), vector(F32))
            for part in range(0, TILE_COLS, LANES)
        ]
        largest = e.reduce_max(e.maximum(e.absolute(parts[0]), e.absolute(parts[1])))
        scale = largest * (1.0 / 127.0)
        inverse = e.select(largest > 0.0, 127.0 / largest, 0.0)
        rounded = [e.to_int(e.round_even(part * inverse)) for part in parts]
        for index, part in enumerate(rounded):
            e.store(e.trunc(part, vector(I8)), e.offset(values, start + index * LANES))
        halves = [e.reduce_add(part) for part in rounded]
        for index, half in enumerate(halves):
            e.store(half, e.offset(sums, block * 2 + index, I32))
        e.store(scale, e.offset(scales, block, F32))
        total = e.to_float(halves[0] + halves[1])
        e.store(scale * total, e.offset(offsets, block, F32))
    e.give()
    return e.function
