"""A tile of 32 rows times a block of tokens, or several tiles times one token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from headrace.codegen.activations import RECORD_BYTES, Record
from headrace.codegen.group_terms import GroupTerms
from headrace.codegen.primitives import broadcast_bytes, dot_u8s8
from headrace.codegen.tile import (
    F32,
    I64,
    PTR,
    Emitter,
    Value,
    function,
)
from headrace.codegen.tile_format import TILE_COLS, TileFormat
from headrace.codegen.tile_streams import TileStreams
from headrace.codegen.token_blocks import token_blocks
from headrace.codegen.totals import Totals
from headrace.codegen.unpack import FOURS, HALVES, Part


def product_block(
    module: ir.Module, format: TileFormat, size: int, features: frozenset[str]
) -> ir.Function:
    """The function `(weights, records, blocks, totals)` for `size` tokens.

    It adds the tile's products to totals, f32 `[size, 32]`.
    """
    name = f"product_{format.name}_{size}"
    e, args = function(module, name, [PTR, PTR, I64, PTR], features)
    e.function.attributes.add("noinline")
    weights, records, blocks, out = args
    blocking = token_blocks(features, format.activation)
    totals = Totals(e, out, size, held=size <= blocking.held)
    record_bytes = RECORD_BYTES[format.activation]
    step = _step(format)
    for (part,), index in TileStreams(e, format, [weights], blocks).parts():
        totals.begin()
        block = e.offset(records, index * (size * record_bytes))
        places = [e.offset(block, t * record_bytes) for t in range(size)]
        step(e, part, places, totals, blocking.halves)
    totals.give()
    e.give()
    return e.function


def product_tiles(
    module: ir.Module, format: TileFormat, tiles: int, features: frozenset[str]
) -> ir.Function:
    """The function `(weights, distance, records, blocks, y, stride)` for one token.

    It adds to y the products of `tiles` tiles, which are read side by side: `distance` bytes apart
    in memory, their rows `stride` floats apart in y.
    """
    name = f"product_{format.name}_tiles_{tiles}"
    e, args = function(module, name, [PTR, I64, PTR, I64, PTR, I64], features)
    e.function.attributes.add("noinline")
    weights, distance, records, blocks, y, stride = args
    blocking = token_blocks(features, format.activation)
    outs = [e.offset(y, stride * tile, F32) for tile in range(tiles)]
    totals = [Totals(e, out, 1, held=True) for out in outs]
    places = [e.offset(weights, distance * tile) for tile in range(tiles)]
    step, record_bytes = _step(format), RECORD_BYTES[format.activation]
    for parts, index in TileStreams(e, format, places, blocks).parts():
        place = e.offset(records, index * record_bytes)
        for part, own in zip(parts, totals, strict=True):
            step(e, part, [place], own, blocking.halves)
    for own in totals:
        own.give()
    e.give()
    return e.function


def _step(format: TileFormat) -> Callable[[Emitter, Part, Sequence[Value], Totals, int], None]:
    return _quantised_step if format.activation == "q8" else _float_step


def _halves(at_once: int) -> list[range]:
    return [range(first, first + at_once) for first in range(0, HALVES, at_once)]


def _quantised_step(
    e: Emitter, part: Part, places: Sequence[Value], totals: Totals, at_once: int
) -> None:
    fours = FOURS // part.format.groups
    for group in range(part.format.groups):
        if group:
            e.in_order()
        # Each group loads what it needs: registers do not last from one to the next.
        records = [Record(e, place) for place in places]
        terms = GroupTerms(part, group)
        for halves in _halves(at_once):
            sums = [[terms.start(record, half) for half in halves] for record in records]
            for four in range(group * fours, (group + 1) * fours):
                codes = [part.codes(four, half) for half in halves]
                for own, place in zip(sums, places, strict=True):
                    values = broadcast_bytes(e, e.offset(place, 4 * four))
                    for index, code in enumerate(codes):
                        own[index] = dot_u8s8(e, own[index], code, values, part.format.largest)
            for t, (own, record) in enumerate(zip(sums, records, strict=True)):
                for half, found in zip(halves, own, strict=True):
                    total = terms.add(totals.get(t, half), found, record, half)
                    totals.set(t, half, total)


def _float_step(
    e: Emitter, part: Part, places: Sequence[Value], totals: Totals, at_once: int
) -> None:
    for halves in _halves(at_once):
        sums = [[totals.get(t, half) for half in halves] for t in range(totals.size)]
        scales = [part.float_scale(half) for half in halves]
        for k in range(TILE_COLS):
            weights = [part.float_weights(k, half) for half in halves]
            weights = [w if s is None else w * s for w, s in zip(weights, scales, strict=True)]
            for own, place in zip(sums, places, strict=True):
                value = e.splat(e.load(e.offset(place, k, F32), F32))
                for index, weight in enumerate(weights):
                    own[index] = e.fma(weight, value, own[index])
        for t, own in enumerate(sums):
            for half, found in zip(halves, own, strict=True):
                totals.set(t, half, found)
