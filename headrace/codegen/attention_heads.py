"""One layer's attention where each worker has some KV heads: all rows, all of their contexts."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.attend_whole import attend_whole
from headrace.codegen.attention_shape import MOST_ROWS, AttentionShape
from headrace.codegen.frame import Frame
from headrace.codegen.tile import I32, I64, PTR, function


def attention_of_heads(
    module: ir.Module, features: frozenset[str], shape: AttentionShape, parts: int
) -> ir.Function:
    """The function `(frame, layer, window, first, last, query, out)`: final rows of KV heads
    `first` .. `last`.

    Where the shape has sinks, their address is one more argument. parts: into which a context is
    cut, as where workers share it.
    """
    name = f"attention_heads_{shape.suffix}"
    found = module.globals.get(name)
    if found is not None:
        return found
    arguments = [PTR, *[I64] * 4, PTR, PTR, *[PTR] * shape.sinks]
    e, args = function(module, name, arguments, features)
    base, layer, window, first_head, last_head, query, out, *sinks = args
    frame = Frame(e, base)
    with e.range(0, frame.get("segment_count")) as segment:
        place = e.offset(frame.get("segments"), segment, I32)
        first = e.sext(e.load(place, I32), I64)
        last = e.sext(e.load(e.offset(place, 1, I32), I32), I64)
        row, end, slot = first * shape.group, last * shape.group, frame.slot(first)
        with e.otherwise((last - first).equals(1)) as (one, many):
            for branch, rows in ((one, shape.token_rows), (many, MOST_ROWS)):
                kernel = attend_whole(module, features, shape, parts, rows)
                with (
                    branch,
                    e.range(first_head, last_head) as head,
                    e.range(row, end, rows) as own,
                ):
                    e.call(kernel, base, layer, window, slot, head, own, end, query, out, *sinks)
    e.give()
    return e.function
