"""Softmax attention of a few rows over their whole contexts: part after part, and then merged."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.attend import attend
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.context_parts import first_seen, merge_parts, part_bounds
from headrace.codegen.frame import Frame
from headrace.codegen.tile import F32, I64, PTR, Value, function


def attend_whole(
    module: ir.Module,
    features: frozenset[str],
    shape: AttentionShape,
    parts: int,
    rows: int,
) -> ir.Function:
    """The function `(frame, layer, window, slot, kv head, row, row_end, query, out)`, with sinks
    `(.., sinks)`: final rows.

    The arguments are those of `attend`; out: f32 `[T, heads * value_head]`.
    """
    name = f"attend_whole_{rows}_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    kernel = attend(module, features, shape, parts, rows)
    merge = merge_parts(module, features, shape)
    arguments = [PTR, *[I64] * 6, PTR, PTR, *[PTR] * shape.sinks]
    e, args = function(module, name, arguments, features)
    base, layer, window, slot, head, row, row_end, query, out, *sinks = args
    size = shape.cache.value_head
    stride = rows * (size + 2)
    sums = e.stack(4 * stride * parts)
    largest = e.offset(sums, rows * size, F32)
    weight = e.offset(largest, rows, F32)
    frame, cache = Frame(e, base), shape.cache
    position = frame.position(row // shape.group)

    def following(part: Value) -> Value:
        """What is read after a part: the next part, or the next head from the start."""
        goes_on = part + 1 < parts
        _, end = part_bounds(e, position, window, part, parts)
        then = e.select(goes_on, e.minimum(end, position), first_seen(e, position, window))
        place = cache.head_place(frame, slot, then, layer, head)
        return e.select(goes_on, place, e.offset(place, cache.head_bytes))

    with e.range(0, parts) as part:
        # The first part counts the sinks.
        none = Value(e, ir.Constant(PTR, None))
        counted = [e.select(part.equals(0), logits, none) for logits in sinks]
        results = [e.offset(each, part * stride, F32) for each in (sums, largest, weight)]
        own = layer, window, slot, head, row, row_end, part, following(part), query
        e.call(kernel, base, *own, *results, *counted)
    with e.range(0, e.minimum(row_end - row, e.i64(rows))) as index:
        own = row + index
        query_head = head * shape.group + own % shape.group
        place = own // shape.group * shape.result_features + query_head * size
        ends = (e.offset(each, index, F32) for each in (largest, weight))
        first = e.offset(sums, index * size, F32)
        e.call(merge, first, *ends, e.i64(stride), e.i64(parts), e.offset(out, place, F32))
    e.give()
    return e.function
