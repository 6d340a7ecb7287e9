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

#: How far ahead of its use a stream is asked for: the memory's latency at a core's share of its
#: rate. It runs on into the next stage's weights.
PREFETCH_DISTANCE = 8192


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
    held = size <= token_blocks(features, format.activation).held
    totals = Totals(e, out, size, held=held)
    record_bytes = RECORD_BYTES[format.activation]
    emit = _quantised_step if format.activation == "q8" else _float_step
    for part, index in _parts(e, format, weights, blocks):
        totals.begin()
        block = e.offset(records, index * (size * record_bytes))
        emit(e, part, [e.offset(block, t * record_bytes) for t in range(size)], totals)
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


def _quantised_step(e: Emitter, part: Part, places: Sequence[Value], totals: Totals) -> None:
    records = [Record(e, place) for place in places]
    terms = GroupTerms(part)
    fours = FOURS // part.format.groups
    for group in range(part.format.groups):
        sums = [[terms.start(record, group, half) for half in range(HALVES)] for record in records]
        for four in range(group * fours, (group + 1) * fours):
            codes = [part.codes(four, half) for half in range(HALVES)]
            for own, place in zip(sums, places, strict=True):
                activations = broadcast_bytes(e, e.offset(place, 4 * four))
                for half in range(HALVES):
                    own[half] = dot_u8s8(e, own[half], codes[half], activations)
        for t, record in enumerate(records):
            for half in range(HALVES):
                total = terms.add(totals.get(t, half), sums[t][half], record, group, half)
                totals.set(t, half, total)


def _float_step(e: Emitter, part: Part, places: Sequence[Value], totals: Totals) -> None:
    sums = [[totals.get(t, half) for half in range(HALVES)] for t in range(len(places))]
    scales = part.float_scales()
    for k in range(TILE_COLS):
        weights = part.float_weights(k)
        if scales:
            weights = [weight * scale for weight, scale in zip(weights, scales, strict=True)]
        for own, place in zip(sums, places, strict=True):
            value = e.splat(e.load(e.offset(place, k, F32), F32))
            for half in range(HALVES):
                own[half] = e.fma(weights[half], value, own[half])
    for t, own in enumerate(sums):
        for half in range(HALVES):
            totals.set(t, half, own[half])
