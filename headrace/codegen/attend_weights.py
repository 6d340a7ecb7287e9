"""From queries and a block of keys to weights: dots, scores, and exp relative to the largest."""

from __future__ import annotations

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attend_state import UNSEEN, Rows
from headrace.codegen.mathematics import exp, exp_negative, tanh
from headrace.codegen.tile import F32, I32, LANES, Emitter, Locality, Value, vector

#: Vectors of a block's positions.
_GROUPS = KV_BLOCK // LANES

_UNROLL = 4


def dot_keys(e: Emitter, rows: Rows, keys: Value, following: Value) -> None:
    """Query times key for every row and all positions of a block; to `rows.scores`.

    following: the entries that are read next, and asked for meanwhile.
    The whole block is read. What lies beyond the sequence is memory of the cache with any content.
    """
    shape = rows.shape
    zero = e.const(0.0, vector(F32))
    sums = [[e.variable(zero) for _ in range(_GROUPS)] for _ in rows.queries]
    size = shape.cache.key_head
    unroll = next(u for u in (_UNROLL, 2, 1) if size % u == 0)
    with e.range(0, size, unroll) as start:
        for step in range(unroll):
            feature = start + step
            places = (feature * LANES + group * LANES * size for group in range(_GROUPS))
            found = [
                shape.cache.load(e, e.offset(keys, place, shape.cache.element)) for place in places
            ]
            share = KV_BLOCK * shape.cache.element_bytes
            e.prefetch_lines(e.offset(following, feature * share), share, Locality.SECOND_LEVEL)
            for query, totals in zip(rows.queries, sums, strict=True):
                number = e.splat(e.load(e.offset(query, feature, F32), F32))
                for key, total in zip(found, totals, strict=True):
                    total.set(e.fma(key, number, total.get()))
    for row, totals in enumerate(sums):
        for group, total in enumerate(totals):
            e.store(total.get(), rows.score_place(e, row, group * LANES))


def weigh(e: Emitter, rows: Rows, block: Value, place: Value) -> None:
    """Dots of all rows become weights of a block's values: zero where a row sees no position.

    place: of the block's entries. Of codes, the weights contain the values' scales.
    """
    cache = rows.shape.cache
    with e.range(0, len(rows.queries)) as row:
        scores = [_scores(e, rows, row, block, group, place) for group in range(_GROUPS)]
        best = scores[0]
        for other in scores[1:]:
            best = e.larger(best, other)
        largest_place = e.offset(rows.largest, row, F32)
        before = e.load(largest_place, F32)
        with e.when(e.any(best > e.splat(before))):
            largest = e.reduce_max(best)
            rows.grow(e, row, largest, exp(e, e.splat(before - largest)))
        largest = e.splat(e.load(largest_place, F32))
        weights = [exp_negative(e, score - largest) for score in scores]
        for group, weight in enumerate(weights):
            if cache.scaled:
                scales = cache.value_scales(e, place)
                weight = weight * cache.load_scales(e, scales, group * LANES)
            e.store(weight, rows.score_place(e, row, group * LANES))
        total = (weights[0] + weights[1]) + (weights[2] + weights[3])
        sum_place = e.offset(rows.weight, row * LANES, F32)
        e.store(e.load(sum_place, vector(F32)) + total, sum_place)


def _scores(e: Emitter, rows: Rows, row: Value, block: Value, group: int, place: Value) -> Value:
    """Scores of a row at 16 positions of a block; see `AttentionOp`."""
    shape, first = rows.shape, e.trunc(block, I32) + group * LANES
    low, high, position = (
        e.load(e.offset(each, row, I32), I32) - first
        for each in (rows.low, rows.high, rows.position)
    )
    lanes = e.iota()
    score = e.load(rows.score_place(e, row, group * LANES), vector(F32)) * shape.scale
    if shape.cache.scaled:
        scales = shape.cache.key_scales(e, place)
        score = score * shape.cache.load_scales(e, scales, group * LANES)
    if shape.softcap:
        score = tanh(e, score * (1.0 / shape.softcap)) * shape.softcap
    if shape.slopes:
        slope = e.splat(e.load(e.offset(rows.slope, row, F32), F32))
        score = e.fma(e.to_float(lanes - position), slope, score)
    return e.select(e.both(lanes >= low, lanes < high), score, UNSEEN)
