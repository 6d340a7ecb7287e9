"""Products of packed weights with activations: the kernels that read nearly all of the bytes.

`product(format)` computes `y[t, row] = sum over k of w[row, k] x[t, k]` for any number of tokens.
A tile of 32 rows is read once and used for all tokens. A row's sum runs over its columns, 32 at a
time, in order with one accumulator, whatever the number of tokens: a token's result does not depend
on its company.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from headrace.codegen.group_terms import Activation, Entry, GroupTerms
from headrace.codegen.primitives import broadcast_bytes, dot_u8s8
from headrace.codegen.tile import (
    F32,
    I64,
    LANES,
    PTR,
    Emitter,
    Locality,
    Value,
    Variable,
    function,
    vector,
)
from headrace.codegen.tile_format import TILE_COLS, TILE_ROWS, TileFormat
from headrace.codegen.unpack import FOURS, HALVES, Part

#: How far ahead of its use a stream is asked for when one token is multiplied: the memory's
#: latency at a core's share of its rate. It runs on into the next stage's weights.
PREFETCH_DISTANCE = 8192


def product(module: ir.Module, format: TileFormat, features: frozenset[str]) -> ir.Function:
    """The function `(weights, values, scales, sums, offsets, blocks, y, tiles, tokens, stride)`.

    y is f32 `[tokens, stride]`; tiles counts the 32-row tiles.
    """
    name = f"product_{format.name}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR] * 5 + [I64, PTR, I64, I64, I64]
    e, args = function(module, name, arguments, features)
    weights, values, scales, sums, offsets, blocks, y, tiles, tokens, stride = args
    x = Activation(values, scales, sums, offsets, blocks)
    tile_bytes = (blocks + (format.parts - 1)) // format.parts * format.block_bytes
    with e.range(0, tiles) as tile:
        w = e.offset(weights, tile * tile_bytes)
        out = e.offset(y, tile * TILE_ROWS, F32)
        done = e.variable(e.i64(0))
        for size in token_blocks(format, features):
            with e.loop_while(lambda size=size: done.get() + size <= tokens):
                token = done.get()
                _block(e, format, w, x, token, size, e.offset(out, token * stride, F32), stride)
                done.set(token + size)
    e.give()
    return e.function


def token_blocks(format: TileFormat, features: frozenset[str]) -> tuple[int, ...]:
    """Tokens multiplied together from registers, largest first.

    AVX-512 has 32 registers of 16 lanes; others hold half or a quarter of that.
    """
    quantised = format.activation == "q8"
    if "avx512f" in features:
        return (12, 4, 1) if quantised else (8, 4, 1)
    return (4, 1) if quantised else (2, 1)


def _block(
    e: Emitter,
    format: TileFormat,
    weights: Value,
    x: Activation,
    token: Value,
    size: int,
    out: Value,
    stride: Value,
) -> None:
    """One tile times `size` tokens."""
    zero = e.const(0.0, vector(F32))
    sums = [[e.variable(zero) for _ in range(HALVES)] for _ in range(size)]
    emit = _quantised_step if format.activation == "q8" else _float_step
    for part, index in _parts(e, format, weights, x.blocks):
        if size == 1:
            # Used once a step, weights need not displace anything in the outer caches.
            ahead = e.offset(part.at, PREFETCH_DISTANCE)
            e.prefetch_lines(ahead, format.part_bytes, Locality.ONCE)
        emit(e, part, x, token, index, sums)
    for t in range(size):
        for half in range(HALVES):
            place = e.offset(out, stride * t + half * LANES, F32)
            e.store(sums[t][half].get(), place)


def _parts(
    e: Emitter, format: TileFormat, weights: Value, count: Value
) -> Iterator[tuple[Part, Value]]:
    """Loops over the parts of a tile: the body that follows is emitted once.

    count: of parts that the activations have; the last block may have fewer than it has room for.
    """
    if format.parts == 1:
        with e.range(0, count) as index:
            block = e.offset(weights, index * format.block_bytes)
            yield Part(e, format, block, block), index
        return
    with e.range(0, count, format.parts) as first:
        block = e.offset(weights, first // format.parts * format.block_bytes)
        with e.range(first, e.minimum(first + format.parts, count)) as index:
            at = e.offset(block, (index - first) * format.part_bytes)
            yield Part(e, format, at, block), index


def _quantised_step(
    e: Emitter, part: Part, x: Activation, token: Value, index: Value, totals: list[list[Variable]]
) -> None:
    tokens = range(len(totals))
    width = x.blocks * TILE_COLS
    base = e.offset(x.values, token * width + index * TILE_COLS)
    rows = [e.offset(base, width * t) for t in tokens]
    entries = [Entry(e, x, (token + t) * x.blocks + index) for t in tokens]
    terms = GroupTerms(part)
    fours = FOURS // part.format.groups
    for group in range(part.format.groups):
        sums = [[terms.start(entry, group, half) for half in range(HALVES)] for entry in entries]
        for four, half in _order(part.format, range(group * fours, (group + 1) * fours)):
            codes = part.codes(four, half)
            for t in tokens:
                activations = broadcast_bytes(e, e.offset(rows[t], 4 * four))
                total = sums[t][half]
                sums[t][half] = dot_u8s8(e, total, codes, activations, part.format.largest)
        for t, entry in enumerate(entries):
            for half in range(HALVES):
                total = totals[t][half]
                total.set(terms.add(total.get(), sums[t][half], entry, group, half))


def _order(format: TileFormat, fours: range) -> Iterator[tuple[int, int]]:
    """Groups of four columns and halves of the rows, so that each register is loaded once."""
    shared = 8 // format.planes[0]
    for first in range(fours.start, fours.stop, shared):
        for half in range(HALVES):
            for four in range(first, first + shared):
                yield four, half


def _float_step(
    e: Emitter, part: Part, x: Activation, token: Value, index: Value, totals: list[list[Variable]]
) -> None:
    tokens = range(len(totals))
    width = x.blocks * TILE_COLS
    column = e.offset(x.values, token * width + index * TILE_COLS, F32)
    accumulators = [[total.get() for total in row] for row in totals]
    scales = part.float_scales()
    for k in range(TILE_COLS):
        weights = part.float_weights(k)
        if scales:
            weights = [weight * scale for weight, scale in zip(weights, scales, strict=True)]
        for t in tokens:
            value = e.splat(e.load(e.offset(column, width * t + k, F32), F32))
            for half in range(HALVES):
                accumulators[t][half] = e.fma(weights[half], value, accumulators[t][half])
    for row, values in zip(totals, accumulators, strict=True):
        for total, value in zip(row, values, strict=True):
            total.set(value)
