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

_UNROLL = 8

#: How far ahead a line is asked for: the memory's latency at a core's share of its rate.
_DISTANCE = 8192


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
    whole = bytes // (CACHE_LINE * _UNROLL) * (CACHE_LINE * _UNROLL)
    with e.range(0, whole, CACHE_LINE * _UNROLL) as at:
        for index, total in enumerate(sums):
            ahead = e.offset(start, at + (_DISTANCE + CACHE_LINE * index))
            e.prefetch(ahead, Locality.ONCE)
            line = e.load(e.offset(start, at + CACHE_LINE * index), vector(I32))
            total.set(total.get() ^ line)
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
