"""Products of packed weights with activations: the kernels that read nearly all of the bytes.

`product(format)` computes `y[t, row] = sum over k of w[row, k] x[t, k]` for any number of tokens.
A tile of 32 rows is read once and used for all tokens. A row's sum runs over its column blocks
in order with one accumulator, whatever the number of tokens: a token's result does not depend on
its company.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.layout import TILE_COLS, TILE_ROWS, TileFormat
from headrace.codegen.primitives import (
    bfloat_to_float,
    broadcast_bytes,
    dot_u8s8,
    half_to_float,
)
from headrace.codegen.tile import (
    F32,
    I8,
    I16,
    I32,
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

#: Tokens multiplied together from registers, largest first.
QUANTISED_TOKEN_BLOCKS = (12, 4, 1)
FLOAT_TOKEN_BLOCKS = (8, 4, 1)

_HALVES = TILE_ROWS // LANES

#: How far ahead of its use a stream is asked for when one token is multiplied: the memory's
#: latency at a core's share of its rate. It runs on into the next stage's weights.
PREFETCH_DISTANCE = 8192


@dataclass(frozen=True, slots=True)
class Activation:
    """Where the activations of the current stage are.

    values: `[T, cols]` of int8 or float32, rows `stride` values apart, padded with zeros to whole
    blocks; for int8 also, for each block: scales (f32), sums of the int8 values (i32), and
    offsets = scale * sum (f32), rows `blocks` apart.
    """

    values: Value
    scales: Value
    sums: Value
    offsets: Value
    blocks: Value


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
    sizes = QUANTISED_TOKEN_BLOCKS if format.activation == "q8" else FLOAT_TOKEN_BLOCKS
    with e.range(0, tiles) as tile:
        w = e.offset(weights, tile * (blocks * format.block_bytes))
        out = e.offset(y, tile * TILE_ROWS, F32)
        done = e.variable(e.i64(0))
        for size in sizes:
            with e.loop_while(lambda size=size: done.get() + size <= tokens):
                token = done.get()
                _block(e, format, w, x, token, size, e.offset(out, token * stride, F32), stride)
                done.set(token + size)
    e.give()
    return e.function


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
    sums = [[e.variable(zero) for _ in range(_HALVES)] for _ in range(size)]
    emit = _quantised_step if format.activation == "q8" else _float_step
    with e.range(0, x.blocks) as block:
        w = e.offset(weights, block * format.block_bytes)
        if size == 1:
            # Used once a step, weights need not displace anything in the outer caches.
            e.prefetch_lines(e.offset(w, PREFETCH_DISTANCE), format.block_bytes, Locality.ONCE)
        emit(e, format, w, x, token, block, sums)
    for t in range(size):
        for half in range(_HALVES):
            place = e.offset(out, stride * t + half * LANES, F32)
            e.store(sums[t][half].get(), place)


def _quantised_step(
    e: Emitter,
    format: TileFormat,
    w: Value,
    x: Activation,
    token: Value,
    block: Value,
    totals: list[list[Variable]],
) -> None:
    tokens = range(len(totals))
    width = x.blocks * TILE_COLS
    base = e.offset(x.values, token * width + block * TILE_COLS)
    rows = [e.offset(base, width * t) for t in tokens]
    index = token * x.blocks + block
    places = [index + x.blocks * t for t in tokens]
    sums = [[_start(e, format, x, places[t])] * _HALVES for t in tokens]
    half_bytes = LANES * TILE_COLS * format.bits // 8
    for group in range(half_bytes // 64):
        for half in range(_HALVES):
            at = e.offset(w, half * half_bytes + 64 * group)
            for column, values in _columns(e, format, e.load(at, vector(I8, 64)), group):
                for t in tokens:
                    four = broadcast_bytes(e, e.offset(rows[t], column))
                    sums[t][half] = dot_u8s8(e, sums[t][half], values, four)
    parameters = _parameters(e, format, w)
    for t in tokens:
        scale = e.splat(e.load(e.offset(x.scales, places[t], F32), F32))
        for half in range(_HALVES):
            total = totals[t][half]
            factor = parameters[0][half] * scale
            value = e.fma(factor, e.to_float(sums[t][half]), total.get())
            if format.scales == 2:
                shift = e.splat(e.load(e.offset(x.offsets, places[t], F32), F32))
                value = e.fma(parameters[1][half], shift, value)
            total.set(value)


def _start(e: Emitter, format: TileFormat, x: Activation, place: Value) -> Value:
    """What the zero point contributes: `-zero * sum of the activations`."""
    if format.zero == 0:
        return e.const(0, vector(I32))
    total = e.load(e.offset(x.sums, place, I32), I32)
    return e.splat(total * -format.zero)


def _columns(e: Emitter, format: TileFormat, bytes: Value, group: int) -> list[tuple[int, Value]]:
    """The first column and the unsigned values of each group of four columns in 64 bytes."""
    if format.bits == 8:
        return [(4 * group, bytes)]
    wide = e.bitcast(bytes, vector(I16, 32))
    high = e.bitcast(wide >> 4, vector(I8, 64)) & 15
    return [(8 * group, bytes & 15), (8 * group + 4, high)]


def _parameters(e: Emitter, format: TileFormat, w: Value) -> list[list[Value]]:
    """Scales (and minima) of the 32 rows as float32 vectors."""
    start = TILE_ROWS * TILE_COLS * format.bits // 8
    return [
        [
            half_to_float(e, e.load(e.offset(w, start + 64 * index + 32 * half), vector(I16)))
            for half in range(_HALVES)
        ]
        for index in range(format.scales)
    ]


def _float_step(
    e: Emitter,
    format: TileFormat,
    w: Value,
    x: Activation,
    token: Value,
    block: Value,
    totals: list[list[Variable]],
) -> None:
    tokens = range(len(totals))
    width = x.blocks * TILE_COLS
    column = e.offset(x.values, token * width + block * TILE_COLS, F32)
    accumulators = [[total.get() for total in row] for row in totals]
    for k in range(TILE_COLS):
        weights = [_float_weights(e, format, w, k, half) for half in range(_HALVES)]
        for t in tokens:
            value = e.splat(e.load(e.offset(column, width * t + k, F32), F32))
            for half in range(_HALVES):
                accumulators[t][half] = e.fma(weights[half], value, accumulators[t][half])
    for row, values in zip(totals, accumulators, strict=True):
        for total, value in zip(row, values, strict=True):
            total.set(value)


def _float_weights(e: Emitter, format: TileFormat, w: Value, k: int, half: int) -> Value:
    at = e.offset(w, (k * TILE_ROWS + half * LANES) * format.bits // 8)
    if format.name == "f32":
        return e.load(at, vector(F32))
    bits = e.load(at, vector(I16))
    return bfloat_to_float(e, bits) if format.name == "bf16" else half_to_float(e, bits)
