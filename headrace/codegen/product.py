"""Products of packed weights with activations: the kernels that read nearly all of the bytes.

`product(format)` computes `y[t, row] = sum over k of w[row, k] x[t, k]` for any number of tokens.
A tile of 32 rows is read once and used for all tokens, in blocks of tokens. For one token the tiles
are divided into runs that are read side by side (`tile_streams.py`). A row's sum runs over its
columns, 32 at a time, in order with one accumulator, whatever the number of tokens: the result of
a token does not depend on its company.
"""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.activations import RECORD_BYTES
from headrace.codegen.product_block import product_block, product_tiles
from headrace.codegen.tile import (
    F32,
    I64,
    LANES,
    PTR,
    Emitter,
    Value,
    function,
    vector,
)
from headrace.codegen.tile_format import TILE_ROWS, TileFormat
from headrace.codegen.tile_streams import runs
from headrace.codegen.token_blocks import BlockSizes, token_blocks

_FLOAT = 4


def product(module: ir.Module, format: TileFormat, features: frozenset[str]) -> ir.Function:
    """The function `(weights, records, blocks, y, tiles, tokens, stride)`.

    records: the activations (`activations.py`), blocks of 32 columns each; y is f32
    `[tokens, stride]`; tiles counts the 32-row tiles.
    """
    name = f"product_{format.name}"
    found = module.globals.get(name)
    if found is not None:
        return found
    blocking = token_blocks(features, format.activation)
    sizes, at_once = blocking.sizes, runs(format, blocking.tiles)
    kernels = {size: product_block(module, format, size, features) for size in sizes}
    several = product_tiles(module, format, at_once, features)
    e, args = function(module, name, [PTR, PTR, I64, PTR, I64, I64, I64], features)
    weights, records, blocks, y, tiles, tokens, stride = args
    totals = e.stack(_FLOAT * TILE_ROWS * sizes[0])
    tile_bytes = (blocks + (format.parts - 1)) // format.parts * format.block_bytes
    token_bytes = blocks * RECORD_BYTES[format.activation]
    choice = BlockSizes(e, sizes)
    run = e.select(tokens.equals(1), tiles // at_once, e.i64(0))
    _clear(e, y, run * (at_once * TILE_ROWS))
    with e.range(0, run) as tile:
        w, out = e.offset(weights, tile * tile_bytes), e.offset(y, tile * TILE_ROWS, F32)
        e.call(several, w, run * tile_bytes, records, blocks, out, run * TILE_ROWS)
    with e.range(run * at_once, tiles) as tile:
        w = e.offset(weights, tile * tile_bytes)
        out = e.offset(y, tile * TILE_ROWS, F32)
        done = e.variable(e.i64(0))

        for size in sizes:
            with e.loop_while(lambda size=size: choice.of(tokens - done.get()).equals(size)):
                token = done.get()
                _clear(e, totals, e.i64(size * TILE_ROWS))
                e.call(kernels[size], w, e.offset(records, token * token_bytes), blocks, totals)
                _copy(e, totals, e.offset(out, token * stride, F32), stride, size)
                done.set(token + size)
    e.give()
    return e.function


def _clear(e: Emitter, out: Value, floats: Value) -> None:
    with e.range(0, floats, LANES) as place:
        e.store(e.const(0.0, vector(F32)), e.offset(out, place, F32))


def _copy(e: Emitter, totals: Value, out: Value, stride: Value, size: int) -> None:
    for t in range(size):
        for lane in range(0, TILE_ROWS, LANES):
            total = e.load(e.offset(totals, t * TILE_ROWS + lane, F32), vector(F32))
            e.store(total, e.offset(out, stride * t + lane, F32))
