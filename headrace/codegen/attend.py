"""Softmax attention of a few rows over a part of their contexts: the inner kernel of attention.

A row is one query head of one token; the rows of a call share a KV head. Positions stream by in
blocks of 64: scores of all rows at the block's positions, weights relative to the largest score
so far, then the weighted sum of the values, which is rescaled when the largest score grows (online
softmax, Milakov and Gimelshein 2018).

A row's result has the same bits whatever rows are with it: a block of which it sees nothing, while
others of the call do, multiplies its sums by one and adds zeros.
"""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attend_state import Rows
from headrace.codegen.attend_values import add_values
from headrace.codegen.attend_weights import dot_keys, weigh
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.context_parts import part_seen
from headrace.codegen.frame import Frame
from headrace.codegen.tile import (
    F32,
    I16,
    I64,
    LANES,
    PTR,
    Emitter,
    Locality,
    Value,
    function,
    size_of,
    vector,
)


def attend(
    module: ir.Module,
    features: frozenset[str],
    shape: AttentionShape,
    parts: int,
    rows: int,
) -> ir.Function:
    """The function `(frame, layer, window, slot, kv head, row, row_end, part, next, query, sums,
    largest, weight)`, with sinks `(.., sinks)`.

    Rows `row` .. `row + rows` of the KV head's `tokens x group` rows, of one sequence at ascending
    positions; rows from `row_end` on repeat the last one. One part of their contexts, of `parts`.
    sums: f32 `[rows, value_head]`, largest and weight: f32 `[rows]`, the results.
    sinks: one more logit a query head that counts here; null: none.

    Each block asks for the entries of the next one, the last block for those at `next`.
    """
    name = f"attend_{rows}_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR, *[I64] * 7, *[PTR] * 5, *[PTR] * shape.sinks]
    e, args = function(module, name, arguments, features)
    base, layer, window, slot, head, row, row_end, part, next, query, *results = args
    sums, largest, weight, *sinks = results
    frame = Frame(e, base)
    own = [e.minimum(row + index, row_end - 1) for index in range(rows)]
    tokens = [number // shape.group for number in own]
    heads = [head * shape.group + number % shape.group for number in own]
    queries = [
        e.offset(query, token * shape.query_stride + query_head * shape.cache.key_head, F32)
        for token, query_head in zip(tokens, heads, strict=True)
    ]
    state = Rows.allocate(e, shape, queries)
    bounds: list[tuple[Value, Value]] = []
    for index, (token, query_head) in enumerate(zip(tokens, heads, strict=True)):
        position = frame.position(token)
        bounds.append(part_seen(e, position, window, part, parts))
        state.start(e, index, bounds[-1], position)
        for logits in sinks:
            _count_sink(e, state, index, logits, query_head)
        if shape.slopes:
            slope = e.load(e.offset(_slopes(e, shape), query_head, F32), F32)
            e.store(slope, e.offset(state.slope, index, F32))
    begin, end = bounds[0][0], bounds[-1][1]
    with e.range(begin // KV_BLOCK * KV_BLOCK, end, KV_BLOCK) as block:
        place = shape.cache.head_place(frame, slot, block, layer, head)
        after = e.minimum(block + KV_BLOCK, end - 1)
        following = shape.cache.head_place(frame, slot, after, layer, head)
        following = e.select(block + KV_BLOCK < end, following, next)
        if shape.cache.scaled:
            _ask_for_scales(e, shape, following)
        dot_keys(e, state, place, following)
        weigh(e, state, block, place)
        low, high = e.maximum(begin, block), e.minimum(end, block + KV_BLOCK)
        add_values(e, state, place, low - block, high - block, following)
    for number in range(rows):
        # What repeats the last row has its results.
        index = e.minimum(e.i64(number), row_end - 1 - row)
        _store(e, state, number, e.offset(sums, index * shape.cache.value_head, F32))
        e.store(e.load(e.offset(state.largest, number, F32), F32), e.offset(largest, index, F32))
        total = e.load(e.offset(state.weight, number * LANES, F32), vector(F32))
        e.store(e.reduce_add(total), e.offset(weight, index, F32))
    e.give()
    return e.function


def _ask_for_scales(e: Emitter, shape: AttentionShape, entries: Value) -> None:
    for scales in (shape.cache.key_scales(e, entries), shape.cache.value_scales(e, entries)):
        e.prefetch_lines(scales, KV_BLOCK * size_of(I16), Locality.SECOND_LEVEL)


def _slopes(e: Emitter, shape: AttentionShape) -> Value:
    return e.table(shape.slopes, f"slopes_{shape.suffix}", F32)


def _count_sink(e: Emitter, rows: Rows, row: int, logits: Value, query_head: Value) -> None:
    with e.when(e.address(logits).differs(0)):
        rows.count_sink(e, row, e.load(e.offset(logits, query_head, F32), F32))


def _store(e: Emitter, rows: Rows, row: int, out: Value) -> None:
    """A row's sums."""
    for part in range(rows.shape.row_vectors):
        value = e.load(rows.sum_place(e, row, part), vector(F32))
        mask = rows.shape.cache.value_mask(e, part)
        e.store(value, e.offset(out, part * LANES, F32), mask)
