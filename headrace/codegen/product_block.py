"""One tile of 32 rows times a block of tokens whose number is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llvmlite import ir

from headrace.codegen.activations import RECORD_BYTES, Record
from headrace.codegen.group_terms import GroupTerms
from headrace.codegen.primitives import broadcast_bytes, dot_u8s8
from headrace.codegen.tile import (
    F32,
    I64,
    PTR,
    Emitter,
    Locality,
    Value,
    function,
)
from headrace.codegen.tile_format import TILE_COLS, TileFormat
from headrace.codegen.token_blocks import token_blocks
from headrace.codegen.totals import Totals
from headrace.codegen.unpack import FOURS, HALVES, Part

#: How far ahead of its use a stream is asked for: far enough to run on into the next stage's
#: weights; within a stage the processor sees by itself what comes next.
PREFETCH_DISTANCE = 2048


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
    emit = _quantised_step if format.activation == "q8" else _float_step
    for part, index in _parts(e, format, weights, blocks):
        totals.begin()
        block = e.offset(records, index * (size * record_bytes))
        places = [e.offset(block, t * record_bytes) for t in range(size)]
        emit(e, part, places, totals, blocking.halves)
    totals.give()
    e.give()
    return e.function


def _parts(
    e: Emitter, format: TileFormat, weights: Value, count: Value
) -> Iterator[tuple[Part, Value]]:
    """Loops over the parts of a tile: the body that follows is emitted once.

    count: of parts that the activations have; the last block may have fewer than it has room for.
    """
    if format.parts == 1:
        with e.range(0, count) as index:
            block = e.offset(weights, index * format.block_bytes)
            _prefetch(e, block, format.block_bytes)
            yield Part(e, format, block, block), index
        return
    with e.range(0, count, format.parts) as first:
        block = e.offset(weights, first // format.parts * format.block_bytes)
        with e.range(first, e.minimum(first + format.parts, count)) as index:
            at = e.offset(block, (index - first) * format.part_bytes)
            _prefetch(e, at, format.part_bytes)
            yield Part(e, format, at, block), index


def _prefetch(e: Emitter, at: Value, bytes: int) -> None:
    """Ask for as many lines as are used now, further on in the stream."""
    e.prefetch_lines(e.offset(at, PREFETCH_DISTANCE), bytes, Locality.SECOND_LEVEL)


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
