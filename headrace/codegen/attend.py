"""Softmax attention of a few rows over a part of their contexts: the inner kernel of attention.

A row is one query head of one token; the rows of a call share a KV head. Positions stream by in
blocks of 64: scores of all rows at the block's positions, weights relative to the largest score
so far, then the weighted sum of the values, which is rescaled when the largest score grows (online
softmax, Milakov and Gimelshein 2018).

A row's result has the same bits whatever rows are with it: a block of which it sees nothing, while
others of the call do, multiplies its sums by one and adds zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.context_parts import first_seen, part_bounds
from headrace.codegen.frame import Frame
from headrace.codegen.mathematics import exp, tanh
from headrace.codegen.tile import (
    F32,
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

#: The score of a position that a row does not see; exp of it is zero, and it is finite.
_UNSEEN = -1.0e30

_GROUPS = KV_BLOCK // LANES

#: Vector registers for the sums of all rows while values stream by.
_SUM_REGISTERS = 24

_UNROLL = 4


@dataclass(frozen=True, slots=True)
class _Row:
    """State of one row while its positions stream by.

    query: f32 `[key_head]`; position: its token's; low, high: the positions of the part that it
    sees; largest, weight: of the scores so far; shrink: what the sums are multiplied with in this
    block; scores: f32 `[64]`, of this block; sums: f32 `[value_head]`, padded to whole vectors;
    slope: of its head, if there is one.
    """

    query: Value
    position: Value
    low: Value
    high: Value
    largest: Variable
    weight: Variable
    shrink: Variable
    scores: Value
    sums: Value
    slope: Value | None


def attend(
    module: ir.Module,
    features: frozenset[str],
    shape: AttentionShape,
    parts: int,
    rows: int,
    *,
    ahead: bool,
) -> ir.Function:
    """The function `(frame, layer, window, slot, kv head, row, row_end, part, query, sums, largest,
    weight)`, with sinks `(.., sinks)`.

    Rows `row` .. `row + rows` of the KV head's `tokens x group` rows, of one sequence at ascending
    positions; rows from `row_end` on repeat the last one. One part of their contexts, of `parts`.
    sums: f32 `[rows, value_head]`, largest and weight: f32 `[rows]`, the results.
    sinks: one more logit a query head that counts here; null: none.

    ahead: whether the entries are read once, from memory: then each block asks for the next one.
    """
    name = f"attend_{rows}{'_ahead' if ahead else ''}_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR, *[I64] * 7, PTR, PTR, PTR, PTR, *[PTR] * shape.sinks]
    e, args = function(module, name, arguments, features)
    base, layer, window, slot, head, row, row_end, part, query, *results = args
    sums, largest, weight, *sinks = results
    frame = Frame(e, base)
    states: list[_Row] = []
    for index in range(rows):
        own = e.minimum(row + index, row_end - 1)
        token = own // shape.group
        query_head = head * shape.group + own % shape.group
        place = token * shape.query_stride + query_head * shape.cache.key_head
        position = frame.position(token)
        bounds = _seen(e, position, window, part, parts)
        slope = _slope(e, shape, query_head)
        state = _start_row(e, shape, e.offset(query, place, F32), position, bounds, slope)
        for logits in sinks:
            _count_sink(e, state, logits, query_head)
        states.append(state)
    begin, end = states[0].low, states[-1].high
    with e.range(begin // KV_BLOCK * KV_BLOCK, end, KV_BLOCK) as block:
        place = shape.cache.head_place(frame, slot, block, layer, head)
        low, high = e.maximum(begin, block), e.minimum(end, block + KV_BLOCK)
        following = None
        if ahead:
            last = (end - 1) // KV_BLOCK * KV_BLOCK
            after = e.minimum(block + KV_BLOCK, last)
            following = shape.cache.head_place(frame, slot, after, layer, head)
        dots = _dot_keys(e, shape, states, place, following)
        _score_block(e, shape, states, dots, block)
        _add_values(e, shape, states, place, low - block, high - block)
    for number, state in enumerate(states):
        # What repeats the last row has its results.
        index = e.minimum(e.i64(number), row_end - 1 - row)
        _store_sums(e, shape, state, e.offset(sums, index * shape.cache.value_head, F32))
        e.store(state.largest.get(), e.offset(largest, index, F32))
        e.store(state.weight.get(), e.offset(weight, index, F32))
    e.give()
    return e.function


def _seen(
    e: Emitter, position: Value, window: Value, part: Value, parts: int
) -> tuple[Value, Value]:
    """The positions of a part that the row at `position` sees: from, and up to."""
    begin, end = part_bounds(e, position, window, part, parts)
    return e.maximum(begin, first_seen(e, position, window)), e.minimum(end, position + 1)


def _start_row(
    e: Emitter,
    shape: AttentionShape,
    query: Value,
    position: Value,
    seen: tuple[Value, Value],
    slope: Value | None,
) -> _Row:
    zero = e.const(0.0, vector(F32))
    sums = e.stack(4 * LANES * shape.row_vectors)
    for part in range(shape.row_vectors):
        e.store(zero, e.offset(sums, part * LANES, F32))
    return _Row(
        query=query,
        position=position,
        low=seen[0],
        high=seen[1],
        largest=e.variable(e.f32(_UNSEEN)),
        weight=e.variable(e.f32(0.0)),
        shrink=e.variable(zero),
        scores=e.stack(4 * KV_BLOCK),
        sums=sums,
        slope=slope,
    )


def _slope(e: Emitter, shape: AttentionShape, query_head: Value) -> Value | None:
    if not shape.slopes:
        return None
    table = e.table(shape.slopes, f"slopes_{shape.suffix}", F32)
    return e.load(e.offset(table, query_head, F32), F32)


def _count_sink(e: Emitter, row: _Row, sinks: Value, query_head: Value) -> None:
    """Start a row with its head's sink: a logit that has been seen, with a value of zero."""
    with e.when(e.address(sinks).differs(0)):
        row.largest.set(e.load(e.offset(sinks, query_head, F32), F32))
        row.weight.set(1.0)


def _score_block(
    e: Emitter,
    shape: AttentionShape,
    rows: list[_Row],
    dots: list[list[Value]],
    block: Value,
) -> None:
    """Weights of all rows at a block's positions: zero where a row does not see them.

    The whole block is read. What lies beyond the sequence is memory of the cache with any content.
    """
    for row, groups in zip(rows, dots, strict=True):
        lowest, highest = (e.trunc(bound - block, I32) for bound in (row.low, row.high))
        scores: list[Value] = []
        for group, dot in enumerate(groups):
            lanes = e.iota() + group * LANES
            seen = e.both(lanes >= lowest, lanes < highest)
            scores.append(e.select(seen, _score(e, shape, row, dot, lanes, block), _UNSEEN))
        _weigh(e, row, scores)


def _score(
    e: Emitter, shape: AttentionShape, row: _Row, dot: Value, lanes: Value, block: Value
) -> Value:
    """Scores of a row at positions `block` + `lanes`; see `AttentionOp`."""
    score = dot * shape.scale
    if shape.softcap:
        score = tanh(e, score * (1.0 / shape.softcap)) * shape.softcap
    if row.slope is not None:
        distance = e.to_float(lanes - e.trunc(row.position - block, I32))
        score = e.fma(distance, e.splat(row.slope), score)
    return score


def _dot_keys(
    e: Emitter, shape: AttentionShape, rows: list[_Row], keys: Value, following: Value | None
) -> list[list[Value]]:
    """Query times key for every row, in groups of 16 positions.

    following: the entries to ask for meanwhile, evenly spread.
    """
    zero = e.const(0.0, vector(F32))
    sums = [[e.variable(zero) for _ in range(_GROUPS)] for _ in rows]
    size = shape.cache.key_head
    unroll = next(u for u in (_UNROLL, 2, 1) if size % u == 0)
    with e.range(0, size, unroll) as start:
        for step in range(unroll):
            feature = start + step
            group_keys = [
                shape.cache.load(
                    e,
                    e.offset(keys, feature * LANES + group * LANES * size, shape.cache.element),
                )
                for group in range(_GROUPS)
            ]
            if following is not None:
                _prefetch_share(e, shape, following, feature)
            for row, totals in zip(rows, sums, strict=True):
                number = e.splat(e.load(e.offset(row.query, feature, F32), F32))
                for key, total in zip(group_keys, totals, strict=True):
                    total.set(e.fma(key, number, total.get()))
    return [[total.get() for total in totals] for totals in sums]


def _prefetch_share(e: Emitter, shape: AttentionShape, entries: Value, feature: Value) -> None:
    """Ask for one feature's share of a block's entries."""
    share = shape.cache.head_bytes // shape.cache.key_head
    e.prefetch_lines(e.offset(entries, feature * share), share, Locality.NEAREST)


def _weigh(e: Emitter, row: _Row, scores: list[Value]) -> None:
    """Scores become weights relative to the new largest score."""
    block_largest = scores[0]
    for score in scores[1:]:
        block_largest = e.maximum(block_largest, score)
    largest = e.maximum(row.largest.get(), e.reduce_max(block_largest))
    # A row that has seen nothing yet has a largest score of _UNSEEN; its weights must stay zero.
    anchor = e.maximum(largest, e.f32(_UNSEEN / 2))
    shrink = exp(e, e.splat(row.largest.get() - anchor))
    total = e.const(0.0, vector(F32))
    for group, score in enumerate(scores):
        weight = exp(e, score - anchor)
        e.store(weight, e.offset(row.scores, group * LANES, F32))
        total = total + weight
    factor = Value(e, e.builder.extract_element(shrink.raw, ir.Constant(I32, 0)))
    row.weight.set(row.weight.get() * factor + e.reduce_add(total))
    row.largest.set(largest)
    row.shrink.set(shrink)


def _add_values(
    e: Emitter, shape: AttentionShape, rows: list[_Row], place: Value, low: Value, high: Value
) -> None:
    """Rescale the sums and add the block's values, as many features at once as registers hold."""
    at_once = max(1, _SUM_REGISTERS // len(rows))
    for first in range(0, shape.row_vectors, at_once):
        parts = range(first, min(first + at_once, shape.row_vectors))
        sums = [
            [e.variable(_sum(e, row, part) * row.shrink.get()) for part in parts] for row in rows
        ]
        with e.range(low, high) as within:
            values = shape.cache.value_place(e, place, within)
            weights = [e.splat(e.load(e.offset(row.scores, within, F32), F32)) for row in rows]
            for index, part in enumerate(parts):
                source = e.offset(values, part * LANES, shape.cache.element)
                value = shape.cache.load(e, source, shape.cache.value_mask(e, part))
                for totals, weight in zip(sums, weights, strict=True):
                    totals[index].set(e.fma(value, weight, totals[index].get()))
        for row, totals in zip(rows, sums, strict=True):
            for part, total in zip(parts, totals, strict=True):
                e.store(total.get(), e.offset(row.sums, part * LANES, F32))


def _sum(e: Emitter, row: _Row, part: int) -> Value:
    """A vector of a row's sums."""
    return e.load(e.offset(row.sums, part * LANES, F32), vector(F32))


def _store_sums(e: Emitter, shape: AttentionShape, row: _Row, out: Value) -> None:
    for part in range(shape.row_vectors):
        mask = shape.cache.value_mask(e, part)
        e.store(_sum(e, row, part), e.offset(out, part * LANES, F32), mask)
