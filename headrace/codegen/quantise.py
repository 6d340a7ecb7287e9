"""Activations in the form in which they enter a product."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.activations import NEGATED, NEGATED_HALF, OFFSET, SCALE
from headrace.codegen.tile import F32, I8, I64, LANES, PTR, function, vector
from headrace.codegen.tile_format import TILE_COLS


def quantise_row(module: ir.Module, features: frozenset[str]) -> ir.Function:
    """The function `(x, records, blocks, step)`: 8 bits with a scale per 32.

    x is f32 `[32 * blocks]`; scale = max |x| / 127, value = x / scale to the nearest even; one
    record (`activations.py`) every `step` bytes.
    """
    found = module.globals.get("quantise_row")
    if found is not None:
        return found
    e, args = function(module, "quantise_row", [PTR, PTR, I64, I64], features)
    x, records, blocks, step = args
    with e.range(0, blocks) as block:
        record = e.offset(records, block * step)
        places = [e.offset(x, block * TILE_COLS + at, F32) for at in range(0, TILE_COLS, LANES)]
        parts = [e.load(place, vector(F32)) for place in places]
        largest = e.reduce_max(e.maximum(*(e.absolute(part) for part in parts)))
        scale = largest * (1.0 / 127.0)
        inverse = e.select(largest > 0.0, 127.0 / largest, 0.0)
        rounded = [e.to_int(e.round_even(part * inverse)) for part in parts]
        for index, part in enumerate(rounded):
            e.store(e.trunc(part, vector(I8)), e.offset(record, index * LANES))
        first, second = (e.reduce_add(part) for part in rounded)
        total = first + second
        e.store(scale, e.offset(record, SCALE))
        e.store(0 - total, e.offset(record, NEGATED))
        e.store(0 - first, e.offset(record, NEGATED_HALF))
        e.store(scale * e.to_float(total), e.offset(record, OFFSET))
    e.give()
    return e.function
