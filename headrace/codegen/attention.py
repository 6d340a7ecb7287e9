"""Attention over the KV cache with an online softmax (Milakov and Gimelshein 2018).

One kernel attends for a few rows (a row is one query head of one token; the rows of a call share
a KV head) over a range of positions, block by block. With one token, the range is a worker's part
of the context and the result is partial: sums, largest score and weight of each row, which the
reader merges. With more tokens, the range is whole and the result final.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.cache import CacheLayout
from headrace.codegen.frame import Frame
from headrace.codegen.mathematics import exp
from headrace.codegen.tile import (
    F32,
    I32,
    I64,
    LANES,
    PTR,
    Emitter,
    Value,
    Variable,
    function,
    vector,
)

#: The score of a position that a row does not see; exp of it is zero, and it is finite.
_UNSEEN = -1.0e30

_GROUPS = KV_BLOCK // LANES

#: Vector registers for the sums of all rows of a call.
_SUM_REGISTERS = 16


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """heads: query heads; scale: of the scores; cache: geometry of the KV entries."""

    heads: int
    scale: float
    cache: CacheLayout

    @property
    def group(self) -> int:
        """Query heads that share one KV head."""
        return self.heads // self.cache.heads

    @property
    def row_vectors(self) -> int:
        return -(-self.cache.value_head // LANES)

    @property
    def most_rows(self) -> int:
        """Rows that fit in registers."""
        return max(1, _SUM_REGISTERS // self.row_vectors)

    @property
    def query_features(self) -> int:
        return self.heads * self.cache.key_head

    @property
    def result_features(self) -> int:
        return self.heads * self.cache.value_head

    @property
    def partial_floats(self) -> int:
        """Floats of one worker's partial result: sums, largest scores, weights."""
        return self.result_features + 2 * self.heads


@dataclass(frozen=True, slots=True)
class _Row:
    """State of one row while its positions stream by."""

    query: Value
    low: Value
    high: Value
    largest: Variable
    weight: Variable
    sums: list[Variable]


def attend(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, rows: int
) -> ir.Function:
    """The function `(frame, layer, window, kv head, row, row_end, begin, end, query, out,
    largest, weight)`.

    Rows `row` .. `row + rows` of the KV head's `tokens x group` rows; rows from `row_end` on repeat
    the last one. Positions `begin` .. `end` (begin a multiple of 16). If `largest` is null, `out`
    is `[T, heads * value_head]` and gets final rows; else out, largest and weight are a partial.
    """
    name = f"attend_{rows}_{shape.heads}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR, *[I64] * 7, PTR, PTR, PTR, PTR]
    e, args = function(module, name, arguments, features)
    base, layer, window, head, row, row_end, begin, end, query, out, largest, weight = args
    frame = Frame(e, base)
    states = []
    places = []
    for index in range(rows):
        own = e.minimum(row + index, row_end - 1)
        token = own // shape.group
        query_head = head * shape.group + own % shape.group
        states.append(_start_row(e, frame, shape, window, query, token, query_head))
        places.append((token, query_head))
    _stream_blocks(e, frame, shape, states, layer, head, begin, end)
    partial = _address(e, largest).differs(0)
    for state, (token, query_head) in zip(states, places, strict=True):
        row_out = e.offset(out, token * shape.result_features, F32)
        head_out = e.offset(row_out, query_head * shape.cache.value_head, F32)
        with e.otherwise(partial) as (then, other):
            with then:
                _store_partial(e, shape, state, head_out, query_head, largest, weight)
            with other:
                total = state.weight.get()
                inverse = 1.0 / total
                _store_sums(e, shape, state, head_out, inverse)
    e.give()
    return e.function


def _address(e: Emitter, pointer: Value) -> Value:
    return Value(e, e.builder.ptrtoint(pointer.raw, I64))


def _start_row(
    e: Emitter,
    frame: Frame,
    shape: AttentionShape,
    window: Value,
    query: Value,
    token: Value,
    query_head: Value,
) -> _Row:
    position = e.load(e.offset(frame.get("positions"), token, I32), I32)
    high = position + 1
    start = e.maximum(high - e.trunc(window, I32), e.i32(0))
    low = e.select(window > 0, start, 0)
    place = token * shape.query_features + query_head * shape.cache.key_head
    zero = e.const(0.0, vector(F32))
    return _Row(
        e.offset(query, place, F32),
        low,
        high,
        e.variable(e.f32(_UNSEEN)),
        e.variable(e.f32(0.0)),
        [e.variable(zero) for _ in range(shape.row_vectors)],
    )


def _stream_blocks(
    e: Emitter,
    frame: Frame,
    shape: AttentionShape,
    rows: list[_Row],
    layer: Value,
    head: Value,
    begin: Value,
    end: Value,
) -> None:
    scores = e.stack(4 * KV_BLOCK * len(rows))
    first = begin // KV_BLOCK * KV_BLOCK
    with e.range(first, end, KV_BLOCK) as block:
        place = shape.cache.head_place(frame, block, layer, head)
        low = e.maximum(begin, block)
        high = e.minimum(end, block + KV_BLOCK)
        largest = _score_block(e, shape, rows, place, scores, block, low, high)
        for index, row in enumerate(rows):
            _weigh_block(e, row, e.offset(scores, 4 * KV_BLOCK * index), largest[index])
        _add_values(e, shape, rows, place, scores, low - block, high - block)


def _score_block(
    e: Emitter,
    shape: AttentionShape,
    rows: list[_Row],
    place: Value,
    scores: Value,
    block: Value,
    low: Value,
    high: Value,
) -> list[Variable]:
    """Scores of all rows at a block's positions; the largest of each row, lane by lane."""
    unseen = e.const(_UNSEEN, vector(F32))
    largest = [e.variable(unseen) for _ in rows]
    with e.range(0, _GROUPS) as group:
        position = block + group * LANES
        inside = e.both(position + LANES > low, position < high)
        with e.otherwise(inside) as (then, other):
            with then:
                keys = e.offset(place, group * (LANES * shape.cache.key_head), shape.cache.element)
                dots = _dot_keys(e, shape, rows, keys)
                lanes = e.iota() + e.trunc(position, I32)
                for index, row in enumerate(rows):
                    seen = e.both(
                        e.both(lanes >= row.low, lanes < row.high), lanes < e.trunc(high, I32)
                    )
                    score = e.select(seen, dots[index] * shape.scale, _UNSEEN)
                    largest[index].set(e.maximum(largest[index].get(), score))
                    e.store(score, _score_place(e, scores, index, group))
            with other:
                for index in range(len(rows)):
                    e.store(unseen, _score_place(e, scores, index, group))
    return largest


def _score_place(e: Emitter, scores: Value, row: int, group: Value) -> Value:
    return e.offset(scores, group * LANES + KV_BLOCK * row, F32)


_UNROLL = 8


def _dot_keys(e: Emitter, shape: AttentionShape, rows: list[_Row], keys: Value) -> list[Value]:
    sums = [e.variable(e.const(0.0, vector(F32))) for _ in rows]
    size = shape.cache.key_head
    unroll = next(u for u in (_UNROLL, 4, 2, 1) if size % u == 0)
    with e.range(0, size, unroll) as start:
        for step in range(unroll):
            feature = start + step
            key = shape.cache.load(e, e.offset(keys, feature * LANES, shape.cache.element))
            for row, total in zip(rows, sums, strict=True):
                number = e.splat(e.load(e.offset(row.query, feature, F32), F32))
                total.set(e.fma(key, number, total.get()))
    return [total.get() for total in sums]


def _weigh_block(e: Emitter, row: _Row, scores: Value, block_largest: Variable) -> None:
    """Scores become weights relative to the new largest score; the sums are rescaled to it."""
    largest = e.maximum(row.largest.get(), e.reduce_max(block_largest.get()))
    # A row that has seen nothing yet has a largest score of _UNSEEN; its weights must stay zero.
    anchor = e.maximum(largest, e.f32(_UNSEEN / 2))
    shrink = exp(e, e.splat(row.largest.get() - anchor))
    total = e.variable(e.const(0.0, vector(F32)))
    for group in range(_GROUPS):
        place = e.offset(scores, group * LANES, F32)
        weight = exp(e, e.load(place, vector(F32)) - anchor)
        e.store(weight, place)
        total.set(total.get() + weight)
    factor = Value(e, e.builder.extract_element(shrink.raw, ir.Constant(I32, 0)))
    row.weight.set(row.weight.get() * factor + e.reduce_add(total.get()))
    row.largest.set(largest)
    for part in row.sums:
        part.set(part.get() * shrink)


def _add_values(
    e: Emitter,
    shape: AttentionShape,
    rows: list[_Row],
    place: Value,
    scores: Value,
    low: Value,
    high: Value,
) -> None:
    size = shape.cache.value_head
    with e.range(low, high) as within:
        values = shape.cache.value_place(e, place, within)
        for part in range(shape.row_vectors):
            mask = _tail_mask(e, size - part * LANES)
            source = e.offset(values, part * LANES, shape.cache.element)
            value = shape.cache.load(e, source, mask)
            for index, row in enumerate(rows):
                weight = e.load(e.offset(scores, within + KV_BLOCK * index, F32), F32)
                total = row.sums[part]
                total.set(e.fma(value, e.splat(weight), total.get()))


def _tail_mask(e: Emitter, left: int) -> Value | None:
    if left >= LANES:
        return None
    bits = [lane < left for lane in range(LANES)]
    return Value(e, ir.Constant(vector(ir.IntType(1)), bits))


def _store_sums(e: Emitter, shape: AttentionShape, row: _Row, out: Value, factor: Value) -> None:
    for part, total in enumerate(row.sums):
        mask = _tail_mask(e, shape.cache.value_head - part * LANES)
        e.store(total.get() * factor, e.offset(out, part * LANES, F32), mask)


def _store_partial(
    e: Emitter,
    shape: AttentionShape,
    row: _Row,
    out: Value,
    query_head: Value,
    largest: Value,
    weight: Value,
) -> None:
    _store_sums(e, shape, row, out, e.f32(1.0))
    e.store(row.largest.get(), e.offset(largest, query_head, F32))
    e.store(row.weight.get(), e.offset(weight, query_head, F32))


def attention_share(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, workers: int
) -> ir.Function:
    """The function `(frame, layer, window, query, out)`: one worker's share of a layer's attention.

    With one token, `out` holds the partials of all workers; with more, the final rows.
    """
    name = f"attention_{shape.heads}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR, I64, I64, PTR, PTR]
    e, (base, layer, window, query, out) = function(module, name, arguments, features)
    frame = Frame(e, base)
    with e.otherwise(frame.get("tokens").equals(1)) as (one, many):
        with one:
            _context_share(e, frame, shape, workers, layer, window, query, out)
        with many:
            _row_share(e, frame, shape, workers, layer, window, query, out)
    e.give()
    return e.function


def _context_share(
    e: Emitter,
    frame: Frame,
    shape: AttentionShape,
    workers: int,
    layer: Value,
    window: Value,
    query: Value,
    out: Value,
) -> None:
    worker = frame.get("worker")
    position = e.sext(e.load(frame.get("positions"), I32), I64)
    end = position + 1
    start = e.select(window > 0, e.maximum(end - window, e.i64(0)), 0)
    first, last = start // LANES, (end + (LANES - 1)) // LANES
    groups = last - first
    begin = (first + groups * worker // workers) * LANES
    stop = e.minimum((first + groups * (worker + 1) // workers) * LANES, end)
    part = e.offset(out, worker * shape.partial_floats, F32)
    largest = e.offset(part, shape.result_features, F32)
    weight = e.offset(largest, shape.heads, F32)
    rows = min(shape.group, shape.most_rows)
    kernel = attend(e.module, e.features, shape, rows)
    group = e.i64(shape.group)
    with e.range(0, shape.cache.heads) as head, e.range(0, shape.group, rows) as row:
        e.call(
            kernel,
            frame.base,
            layer,
            window,
            head,
            row,
            group,
            begin,
            stop,
            query,
            part,
            largest,
            weight,
        )


def _row_share(
    e: Emitter,
    frame: Frame,
    shape: AttentionShape,
    workers: int,
    layer: Value,
    window: Value,
    query: Value,
    out: Value,
) -> None:
    """Blocks of rows of each KV head, dealt to the workers in turn."""
    rows = shape.most_rows
    kernel = attend(e.module, e.features, shape, rows)
    total = frame.get("tokens") * shape.group
    blocks = (total + (rows - 1)) // rows
    null = Value(e, ir.Constant(PTR, None))
    with e.range(frame.get("worker"), blocks * shape.cache.heads, workers) as item:
        head = item % shape.cache.heads
        row = item // shape.cache.heads * rows
        first = _position(e, frame, row // shape.group)
        last = _position(e, frame, e.minimum(row + (rows - 1), total - 1) // shape.group)
        start = e.select(window > 0, e.maximum(first + 1 - window, e.i64(0)), 0)
        e.call(
            kernel,
            frame.base,
            layer,
            window,
            head,
            row,
            total,
            start // LANES * LANES,
            last + 1,
            query,
            out,
            null,
            null,
        )


def _position(e: Emitter, frame: Frame, token: Value) -> Value:
    """A token's position; positions do not decrease within a step."""
    return e.sext(e.load(e.offset(frame.get("positions"), token, I32), I32), I64)


def merge_partials(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, workers: int
) -> ir.Function:
    """The function `(partials, row)`: all workers' partials as one row of results."""
    name = f"merge_{shape.heads}"
    found = module.globals.get(name)
    if found is not None:
        return found
    e, (partials, out) = function(module, name, [PTR, PTR], features)
    size = shape.cache.value_head
    parts = [e.offset(partials, worker * shape.partial_floats, F32) for worker in range(workers)]
    with e.range(0, shape.heads) as head:
        largest_at = [
            e.load(e.offset(part, head + shape.result_features, F32), F32) for part in parts
        ]
        largest = largest_at[0]
        for other in largest_at[1:]:
            largest = e.maximum(largest, other)
        factors = [exp(e, e.splat(own - largest)) for own in largest_at]
        total = e.const(0.0, vector(F32))
        for part, factor in zip(parts, factors, strict=True):
            place = e.offset(part, head + (shape.result_features + shape.heads), F32)
            total = e.fma(factor, e.splat(e.load(place, F32)), total)
        inverse = 1.0 / total
        for index, mask in e.lanes(size):
            place = head * size + index
            value = e.const(0.0, vector(F32))
            for part, factor in zip(parts, factors, strict=True):
                own = e.load(e.offset(part, place, F32), vector(F32), mask)
                value = e.fma(factor, own, value)
            e.store(value * inverse, e.offset(out, place, F32), mask)
    e.give()
    return e.function
