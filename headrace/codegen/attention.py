"""One layer's attention: how workers share it, and how their partial results are merged.

With one token, each worker attends over its part of the context; the results are partial (sums,
largest score and weight of each row) and their reader merges them. With more tokens, workers take
blocks of rows in turn, and the results are final.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attend import attend
from headrace.codegen.attention_shape import MOST_ROWS, AttentionShape
from headrace.codegen.frame import Frame
from headrace.codegen.mathematics import exp
from headrace.codegen.tile import (
    CACHE_LINE,
    F32,
    I64,
    LANES,
    PTR,
    Emitter,
    Locality,
    Value,
    function,
    vector,
)

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
    sinks: Value | None

    def attend(
        self, kernel: ir.Function, rows: tuple[Value, ...], results: tuple[Value, ...]
    ) -> None:
        """Call a kernel for some rows and positions; see `attend`."""
        self.e.call(kernel, self.frame.base, self.layer, self.window, *rows, self.query, *results)

    def counted_once(self) -> tuple[Value, ...]:
        """The sinks, for the one worker that counts them when all have parts of each row."""
        if self.sinks is None:
            return ()
        first = self.frame.get("worker").equals(0)
        return (self.e.select(first, self.sinks, self.null),)

    @property
    def null(self) -> Value:
        return Value(self.e, ir.Constant(PTR, None))


def attention_share(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, workers: int
) -> ir.Function:
    """The function `(frame, layer, window, query, out)`: one worker's share of a layer's attention.

    With one token, `out` holds the partials of all workers; with more, the final rows. Where the
    shape has sinks, their address is one more argument.
    """
    name = f"attention_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR, I64, I64, PTR, PTR, *[PTR] * shape.sinks]
    e, (base, layer, window, query, out, *sinks) = function(module, name, arguments, features)
    frame = Frame(e, base)
    task = _Task(e, frame, shape, workers, layer, window, query, out, next(iter(sinks), None))
    with e.otherwise(frame.get("tokens").equals(1)) as (one, many):
        with one:
            _context_share(task)
        with many:
            _row_share(task)
    e.give()
    return e.function


def _context_share(task: _Task) -> None:
    e, frame, shape = task.e, task.frame, task.shape
    worker = frame.get("worker")
    begin, stop = _own_positions(e, frame, task.workers, task.window)
    part = e.offset(task.out, worker * shape.partial_floats, F32)
    largest = e.offset(part, shape.result_features, F32)
    weight = e.offset(largest, shape.heads, F32)
    rows = shape.token_rows
    kernel = attend(e.module, e.features, shape, rows, ahead=True)
    group = e.i64(shape.group)
    sinks, slot = task.counted_once(), frame.slot(e.i64(0))
    with e.range(0, shape.cache.heads) as head, e.range(0, shape.group, rows) as row:
        task.attend(kernel, (slot, head, row, group, begin, stop), (part, largest, weight, *sinks))


def _own_positions(e: Emitter, frame: Frame, workers: int, window: Value) -> tuple[Value, Value]:
    """The part of the context that this worker attends over, with one token."""
    worker = frame.get("worker")
    end = frame.position(e.i64(0)) + 1
    start = e.select(window > 0, e.maximum(end - window, e.i64(0)), 0)
    first, last = start // LANES, (end + (LANES - 1)) // LANES
    groups = last - first
    begin = (first + groups * worker // workers) * LANES
    stop = e.minimum((first + groups * (worker + 1) // workers) * LANES, end)
    return begin, stop


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
        slot = frame.slot(e.i64(0))
        begin, stop = _own_positions(e, frame, workers, window)
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
                    e.prefetch(e.offset(start, at), Locality.NEAREST)
    e.give()
    return e.function


def _row_share(task: _Task) -> None:
    """Blocks of rows of each KV head, dealt to the workers in turn."""
    e, frame, shape, window = task.e, task.frame, task.shape, task.window
    rows = MOST_ROWS
    kernel = attend(e.module, e.features, shape, rows, ahead=False)
    total = frame.get("tokens") * shape.group
    blocks = (total + (rows - 1)) // rows
    null = task.null
    sinks = () if task.sinks is None else (task.sinks,)
    with e.range(frame.get("worker"), blocks * shape.cache.heads, task.workers) as item:
        head = item % shape.cache.heads
        row = item // shape.cache.heads * rows
        slot = frame.slot(row // shape.group)
        first = frame.position(row // shape.group)
        last = frame.position(e.minimum(row + (rows - 1), total - 1) // shape.group)
        start = e.select(window > 0, e.maximum(first + 1 - window, e.i64(0)), 0)
        begin, end = start // LANES * LANES, last + 1
        task.attend(kernel, (slot, head, row, total, begin, end), (task.out, null, null, *sinks))


def merge_partials(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, workers: int
) -> ir.Function:
    """The function `(partials, row)`: all workers' partials as one row of results."""
    name = f"merge_{shape.suffix}"
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
