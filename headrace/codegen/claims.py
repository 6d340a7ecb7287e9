"""How workers share the items of a step: each takes the next one that nobody has taken.

Sequences have contexts of different lengths, so that a fixed division would not be even. Tickets
are drawn from one counter that is never reset. All workers know the ticket at which an execution
starts: in each, every worker draws one ticket too many, at which it learns that it is done.
"""

from __future__ import annotations

from collections.abc import Callable

from headrace.codegen.frame import Frame
from headrace.codegen.tile import I32, I64, Emitter, Value


def claim_items(
    e: Emitter,
    frame: Frame,
    workers: int,
    count: Callable[[Value, Value], Value],
    work: Callable[[Value, Value, Value], None],
) -> None:
    """Emit a worker's loop over the items that it claims of all segments of a step.

    All workers must run it equally often, and none may run it again before all have ended.

    Args:
        count: the number of items of the segment of tokens `first` .. `end`.
        work: does an item: `(first, end, item)`; items of a segment are claimed in order.
    """
    base, segments = frame.get("claim_base"), frame.get("segment_count")
    segment = e.variable(e.i64(0))
    before = e.variable(e.i64(0))
    own = e.variable(count(*_tokens(frame, e.i64(0))))
    ticket = e.variable(_draw(frame, base))
    left = e.variable(e.i64(1))
    with e.loop_while(lambda: left.get() > 0):
        with e.loop_while(
            lambda: e.both(segment.get() < segments, ticket.get() >= before.get() + own.get())
        ):
            before.set(before.get() + own.get())
            segment.set(segment.get() + 1)
            next = e.minimum(segment.get(), segments - 1)
            own.set(count(*_tokens(frame, next)))
        with e.otherwise(segment.get() < segments) as (then, other):
            with then:
                work(*_tokens(frame, segment.get()), ticket.get() - before.get())
                ticket.set(_draw(frame, base))
            with other:
                left.set(0)
    frame.set("claim_base", base + before.get() + workers)


def _draw(frame: Frame, base: Value) -> Value:
    """The next ticket of this execution."""
    return frame.e.atomic_add(frame.control_place("claims"), frame.e.i64(1)) - base


def _tokens(frame: Frame, segment: Value) -> tuple[Value, Value]:
    """The first token of a segment, and the one after its last."""
    e, place = frame.e, frame.e.offset(frame.get("segments"), segment, I32)
    first, end = (e.load(e.offset(place, index, I32), I32) for index in (0, 1))
    return e.sext(first, I64), e.sext(end, I64)
