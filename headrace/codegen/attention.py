"""One layer's attention: how workers share it.

Where a step has one row, each worker attends over its part of the context; the results are partial
(sums, largest score and weight of each row) and their reader merges them. In all other steps
workers claim items: some rows of one segment with one KV head. Who has an item computes all parts
of these rows' contexts and merges them: the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attend import attend
from headrace.codegen.attend_whole import attend_whole
from headrace.codegen.attention_shape import MOST_ROWS, AttentionShape
from headrace.codegen.claims import claim_items
from headrace.codegen.context_parts import merge_parts, part_seen
from headrace.codegen.frame import Frame
from headrace.codegen.row_blocks import RowBlocks
from headrace.codegen.tile import (
    CACHE_LINE,
    F32,
    I64,
    PTR,
    Emitter,
    Locality,
    Value,
    function,
)

#: Segments a worker from which on a token's heads are one item.
MANY_A_WORKER = 4

#: KV blocks of each head that are asked for before the queries are there.
PREFETCH_BLOCKS = 1


@dataclass(frozen=True, slots=True)
class _Task:
    """One worker's share of one layer's attention: what the code of both ways to divide needs."""

    e: Emitter
    frame: Frame
    shape: AttentionShape
    workers: int
    layer: Value
    window: Value
    query: Value
    out: Value
    sinks: tuple[Value, ...]

    def call(self, kernel: ir.Function, *arguments: Value) -> None:
        """Call a kernel for some rows: `attend` or `attend_whole`."""
        self.e.call(kernel, self.frame.base, self.layer, self.window, *arguments)


def attention_share(
    module: ir.Module,
    features: frozenset[str],
    shape: AttentionShape,
    workers: int,
    streamed: bool = False,
) -> ir.Function:
    """The function `(frame, layer, window, query, out)`: one worker's share of a layer's attention.

    With one row in the step, `out` holds the partials of all workers; with more, the final rows.
    Where the shape has sinks, their address is one more argument. streamed: whether it waits for
    the blocks of rows that its items need; else all rows are there.
    """
    name = f"attention_{shape.suffix}{'_streamed' if streamed else ''}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR, I64, I64, PTR, PTR, *[PTR] * shape.sinks]
    e, (base, layer, window, query, out, *sinks) = function(module, name, arguments, features)
    frame = Frame(e, base)
    task = _Task(e, frame, shape, workers, layer, window, query, out, tuple(sinks))
    with e.otherwise(frame.get("tokens").equals(1)) as (one, many):
        with one:
            _context_share(task)
        with many:
            _item_share(task, streamed)
    e.give()
    return e.function


def _context_share(task: _Task) -> None:
    """This worker's part of the only row's context, for all heads."""
    e, frame, shape = task.e, task.frame, task.shape
    worker = frame.get("worker")
    sums = e.offset(task.out, worker * shape.partial_floats, F32)
    largest = e.offset(sums, shape.result_features, F32)
    weight = e.offset(largest, shape.heads, F32)
    rows, size = shape.token_rows, shape.cache.value_head
    kernel = attend(e.module, e.features, shape, task.workers, rows)
    group, slot = e.i64(shape.group), frame.slot(e.i64(0))
    # Each worker has a part of the row: the first counts the sinks.
    none = Value(e, ir.Constant(PTR, None))
    sinks = [e.select(worker.equals(0), logits, none) for logits in task.sinks]
    position = frame.position(e.i64(0))
    begin, _ = part_seen(e, position, task.window, worker, task.workers)
    begin = e.minimum(begin, position)
    with e.range(0, shape.cache.heads) as head, e.range(0, shape.group, rows) as row:
        at = head * shape.group + row
        results = e.offset(sums, at * size, F32), e.offset(largest, at, F32)
        start = shape.cache.head_place(frame, slot, begin, task.layer, head)
        next = e.offset(start, shape.cache.head_bytes)
        own = slot, head, row, group, worker, next, task.query
        task.call(kernel, *own, *results, e.offset(weight, at, F32), *sinks)


def _item_share(task: _Task, streamed: bool) -> None:
    """The items that this worker claims: final rows."""
    e, frame, shape = task.e, task.frame, task.shape
    kernels = {
        rows: attend_whole(e.module, e.features, shape, task.workers, rows)
        for rows in (MOST_ROWS, shape.token_rows)
    }

    def call(rows: int, head: Value, row: Value, end: Value) -> None:
        """Rows `row` .. `row + rows` of the KV head's rows of all tokens."""
        if streamed:
            last = e.minimum(row + rows, end) - 1
            RowBlocks(e, frame).wait_for(last // shape.group, task.workers)
        slot = frame.slot(row // shape.group)
        task.call(kernels[rows], slot, head, row, end, task.query, task.out, *task.sinks)

    def attend_item(first: Value, end: Value, item: Value) -> None:
        """Item `item` of the segment of the tokens `first` .. `end`."""
        with e.otherwise((end - first).equals(1)) as (one, many):
            with (
                one,
                e.range(item, item + _heads_of_item(e, frame, shape, task.workers)) as head,
                e.range(first * shape.group, end * shape.group, shape.token_rows) as row,
            ):
                call(shape.token_rows, head, row, end * shape.group)
            with many:
                block, head = item // shape.cache.heads, item % shape.cache.heads
                if not streamed:
                    # Later rows see more: they come first, and the last items are short.
                    block = _row_blocks(shape, end - first) - 1 - block
                row = first * shape.group + block * MOST_ROWS
                call(MOST_ROWS, head, row, end * shape.group)

    claim_items(e, frame, task.workers, lambda first, end: _items(task, first, end), attend_item)


def _items(task: _Task, first: Value, end: Value) -> Value:
    """Items of the segment of the tokens `first` .. `end`: of one token some KV heads each."""
    e, heads = task.e, task.shape.cache.heads
    one = e.i64(heads) // _heads_of_item(e, task.frame, task.shape, task.workers)
    return e.select((end - first).equals(1), one, _row_blocks(task.shape, end - first) * heads)


def _heads_of_item(e: Emitter, frame: Frame, shape: AttentionShape, workers: int) -> Value:
    """KV heads of an item of one token: all where there are many such, so that who reads one head
    asks for the next one's entries and not for what another worker will read."""
    many = frame.get("segment_count") >= MANY_A_WORKER * workers
    return e.select(many, e.i64(shape.cache.heads), 1)


def _row_blocks(shape: AttentionShape, tokens: Value) -> Value:
    """How many blocks of rows a segment's tokens are for each KV head."""
    return (tokens * shape.group + (MOST_ROWS - 1)) // MOST_ROWS


def prefetch_context(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, workers: int
) -> ir.Function:
    """The function `(frame, layer, window)`: ask for the entries that this worker reads next.

    It is called before the wait for the queries. Entries of earlier tokens do not change; where a
    worker's part is long, its first blocks are asked for and the rest streams.
    """
    name = f"prefetch_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    e, (base, layer, window) = function(module, name, [PTR, I64, I64], features)
    frame, cache = Frame(e, base), shape.cache
    with e.when(frame.get("tokens").equals(1)):
        row = e.i64(0)
        slot, position = frame.slot(row), frame.position(row)
        begin, stop = part_seen(e, position, window, frame.get("worker"), workers)
        first = begin // KV_BLOCK * KV_BLOCK
        end = e.minimum(stop, first + PREFETCH_BLOCKS * KV_BLOCK)
        with e.range(first, end, KV_BLOCK) as block, e.range(0, cache.heads) as head:
            place = cache.head_place(frame, slot, block, layer, head)
            low = e.maximum(begin - block, e.i64(0))
            high = e.minimum(end - block, e.i64(KV_BLOCK))
            values = e.offset(place, cache.key_bytes)
            for start, bytes in (
                (place, cache.key_head * cache.element_bytes),
                (values, cache.value_head * cache.element_bytes),
            ):
                with e.range(low * bytes, high * bytes, CACHE_LINE) as at:
                    e.prefetch(e.offset(start, at), Locality.SECOND_LEVEL)
    e.give()
    return e.function


def merge_partials(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, workers: int
) -> ir.Function:
    """The function `(partials, row)`: all workers' partials as one row of results."""
    name = f"merge_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    merge = merge_parts(module, features, shape)
    e, (partials, out) = function(module, name, [PTR, PTR], features)
    largest = e.offset(partials, shape.result_features, F32)
    weight = e.offset(largest, shape.heads, F32)
    stride, parts = e.i64(shape.partial_floats), e.i64(workers)
    with e.range(0, shape.heads) as head:
        at = head * shape.cache.value_head
        ends = e.offset(largest, head, F32), e.offset(weight, head, F32)
        e.call(merge, e.offset(partials, at, F32), *ends, stride, parts, e.offset(out, at, F32))
    e.give()
    return e.function
