"""Tokens between workers: monotone counters, released by their producer and acquired by readers.

A worker's counter is the number of stages it has finished since it started; it is never reset.
Who has to wait first asks for its own next weights (memory must not idle because data is not
ready), then spins briefly, then sleeps on a futex. Where workers share cores, it gives its core to
the others instead.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from headrace.codegen.frame import Frame
from headrace.codegen.primitives import pause
from headrace.codegen.tile import (
    CACHE_LINE,
    I32,
    I64,
    PTR,
    Emitter,
    Locality,
    Value,
    Variable,
    function,
)
from headrace.codegen.trace import Trace

_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129
_FUTEX_NUMBER = {"x86_64": 202, "aarch64": 98}
_ALL = 0x7FFFFFFF

#: Weights asked for while waiting, at most: a part of the second-level cache.
PREFETCH_BYTES = 384 * 1024

#: Weights asked for between two looks at a counter.
_BYTES_A_LOOK = 4 * CACHE_LINE


def _futex(e: Emitter, place: Value, operation: int, value: Value) -> None:
    number = _FUTEX_NUMBER[e.module.triple.split("-")[0]]
    none = e.i64(0)
    arguments = (e.i64(number), place, e.i64(operation), value, none, none, none)
    e.intrinsic("syscall", I64, *arguments)


def raise_word(e: Emitter, place: Value, sleepers: Value, value: Value) -> None:
    """Release `value` at `place` and wake who sleeps on it."""
    e.store_release(value, place, "seq_cst")
    with e.when(e.load_acquire(sleepers, I32, "seq_cst").differs(0)):
        _futex(e, place, _FUTEX_WAKE_PRIVATE, e.i64(_ALL))


def sleep_until(module: ir.Module, features: frozenset[str]) -> ir.Function:
    """The function `(place, sleepers, target)`: sleep until the word at `place` reaches `target`.

    The sleeper announces itself before it looks again, the producer looks for sleepers after it
    has stored (both sequentially consistent): no wake-up is lost.
    """
    found = module.globals.get("sleep_until")
    if found is not None:
        return found
    e, (place, sleepers, target) = function(module, "sleep_until", [PTR, PTR, I64], features)
    e.atomic_add(sleepers, e.i32(1))
    seen = e.variable(e.load_acquire(place, I64, "seq_cst"))
    with e.loop_while(lambda: seen.get() < target):
        _futex(e, place, _FUTEX_WAIT_PRIVATE, seen.get() & 0xFFFFFFFF)
        seen.set(e.load_acquire(place, I64, "seq_cst"))
    e.atomic_add(sleepers, e.i32(-1))
    e.give()
    return e.function


def await_word(module: ir.Module, features: frozenset[str]) -> ir.Function:
    """The function `(place, sleepers, target, spins, yields)`: wait for a word.

    It looks `spins` times, then gives the core to other threads `yields` times, then sleeps.
    """
    found = module.globals.get("await_word")
    if found is not None:
        return found
    arguments = [PTR, PTR, I64, I64, I64]
    e, args = function(module, "await_word", arguments, features)
    place, sleepers, target, spins, yields = args
    with e.when(_look_awake(e, place, target, spins, yields).equals(0)):
        e.call(sleep_until(module, features), place, sleepers, target)
    e.give()
    return e.function


def _look_awake(e: Emitter, place: Value, target: Value, spins: Value, yields: Value) -> Value:
    """Whether a word comes before it is time to sleep."""
    ready = e.variable(e.load_acquire(place, I64) >= target)
    _look(e, place, target, ready, spins, lambda: pause(e))
    _look(e, place, target, ready, yields, lambda: e.intrinsic("sched_yield", I32))
    return ready.get()


def _look(
    e: Emitter,
    place: Value,
    target: Value,
    ready: Variable,
    times: Value,
    between: Callable[[], object],
) -> None:
    """Look at a word until it is there, so many times at most."""
    left = e.variable(times)
    with e.loop_while(lambda: e.both(left.get() > 0, ready.get().equals(0))):
        between()
        left.set(left.get() - 1)
        ready.set(e.load_acquire(place, I64) >= target)


def await_workers(module: ir.Module, features: frozenset[str], traced: bool = False) -> ir.Function:
    """The function `(frame, count, target, next, end)`: wait for workers 0 .. count - 1.

    Their counters have to reach `target`. `next` .. `end` are the weights that this worker reads
    next; lines that it has not asked for yet are prefetched while it waits.
    """
    found = module.globals.get("await_workers")
    if found is not None:
        return found
    sleep = sleep_until(module, features)
    arguments = [PTR, I64, I64, PTR, PTR]
    e, (base, count, target, start, end) = function(module, "await_workers", arguments, features)
    frame = Frame(e, base)
    trace = Trace(e, frame, traced)
    spins, yields = frame.control_word("spins"), frame.control_word("yields")
    with e.range(0, count) as other:
        place = frame.worker_place("counter", other)
        ready = e.variable(e.load_acquire(place, I64) >= target)
        with e.when(ready.get().equals(0)):
            trace.note("last", lambda: other)
            with (
                trace.during("prefetching"),
                e.loop_while(lambda: _may_prefetch(e, frame, ready, start, end)),
            ):
                _prefetch_some(e, frame, start)
                ready.set(e.load_acquire(place, I64) >= target)
        with e.when(ready.get().equals(0)):
            awake = _look_awake(e, place, target, spins, yields)
            with e.when(awake.equals(0)), trace.during("asleep"):
                e.call(sleep, place, frame.worker_place("sleepers", other), target)
    e.give()
    return e.function


def _address(e: Emitter, pointer: Value) -> Value:
    return Value(e, e.builder.ptrtoint(pointer.raw, I64))


def _may_prefetch(e: Emitter, frame: Frame, ready: Variable, start: Value, end: Value) -> Value:
    position = _address(e, frame.get("prefetched"))
    limit = e.minimum(_address(e, end), _address(e, start) + PREFETCH_BYTES)
    # A core that is shared belongs to the worker that is being waited for.
    alone = frame.control_word("yields").equals(0)
    return e.both(e.both(ready.get().equals(0), position < limit), alone)


def _prefetch_some(e: Emitter, frame: Frame, start: Value) -> None:
    position = frame.get("prefetched")
    early = _address(e, position) < _address(e, start)
    position = e.select(early, start, position)
    e.prefetch_lines(position, _BYTES_A_LOOK, Locality.SECOND_LEVEL)
    frame.set("prefetched", e.offset(position, _BYTES_A_LOOK))


def signal(e: Emitter, frame: Frame) -> None:
    """Count one more finished stage."""
    count = frame.get("sequence") + 1
    frame.set("sequence", count)
    worker = frame.get("worker")
    place = frame.worker_place("counter", worker)
    raise_word(e, place, frame.worker_place("sleepers", worker), count)
