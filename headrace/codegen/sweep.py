"""A pure read: the denominator of every roofline fraction."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.tile import (
    CACHE_LINE,
    I32,
    I64,
    PTR,
    VOID,
    Emitter,
    Locality,
    Value,
    function,
    vector,
)
from headrace.codegen.tile_streams import AHEAD_BYTES

_UNROLL = 8

#: Runs that are read side by side, see `tile_streams.py`: the best of 1 to 16, asked for 1/2 to
#: 8 KiB ahead, into each level of the caches, in small and huge pages.
_STREAMS = 8


def sweep_bytes(module: ir.Module, features: frozenset[str]) -> ir.Function:
    """The function `(start, bytes)`: load every cache line once, and use it for nothing else.

    It is the fastest read we know.
    """
    found = module.globals.get("sweep_bytes")
    if found is not None:
        return found
    e, (start, bytes) = function(module, "sweep_bytes", [PTR, I64], features)
    zero = e.const(0, vector(I32))
    sums = [e.variable(zero) for _ in range(_UNROLL)]
    step = CACHE_LINE * _UNROLL
    run = bytes // (step * _STREAMS) * step
    with e.range(0, run, step) as at:
        for stream in range(_STREAMS):
            place = e.offset(start, run * stream + at)
            e.prefetch_lines(e.offset(place, AHEAD_BYTES), step, Locality.SECOND_LEVEL)
            for index, total in enumerate(sums):
                line = e.load(e.offset(place, CACHE_LINE * index), vector(I32))
                total.set(total.get() ^ line)
    with e.range(run * _STREAMS, bytes // CACHE_LINE * CACHE_LINE, CACHE_LINE) as at:
        sums[0].set(sums[0].get() ^ e.load(e.offset(start, at), vector(I32)))
    result = sums[0].get()
    for total in sums[1:]:
        result = result ^ total.get()
    _consume(e, result)
    e.give()
    return e.function


def _consume(e: Emitter, value: Value) -> None:
    """Keep the loads alive: an empty assembly statement takes the value."""
    folded = e.reduce_max(value)
    type = ir.FunctionType(VOID, [I32])
    e.builder.call(ir.InlineAsm(type, "", "r", side_effect=True), [folded.raw])
