"""What an exchange of tokens costs in the middle of streams: the pause between two stages.

Workers read memory as stages read their weights. Read in pieces, with all waiting for all after
each, it takes longer than in one go: for the way of the counters between cores, for those who wait
for the slower one, and for the memory that idles meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

import numpy as np
from llvmlite import ir

from headrace.codegen.primitives import pause
from headrace.codegen.sweep import sweep_bytes
from headrace.codegen.target import NativeLibrary, Target, compile_object
from headrace.codegen.tile import CACHE_LINE, I64, PTR, Emitter, Value, function
from headrace.runtime.memory import Memory

_NAME = "read_in_pieces"

#: Bytes that a worker reads between two exchanges: a small stage's weights. Smaller pieces are more
#: exchanges in the same time, and so a surer figure on a machine whose memory's rate drifts.
PIECE = 64 * 1024


class PieceKernel:
    """The native function `(counters, own, workers, stream, bytes, pieces)`."""

    def __init__(self) -> None:
        target = Target.host()
        self._library = NativeLibrary(_object(target), (_NAME,), target)
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        signature = ctypes.CFUNCTYPE(None, pointer, count, count, pointer, count, count)
        self.call: Callable[[int, int, int, int, int, int], None] = signature(
            self._library.address(_NAME)
        )


def _object(target: Target) -> bytes:
    module = ir.Module("headrace-exchange")
    module.triple = target.triple
    sweep = sweep_bytes(module, target.special)
    arguments = [PTR, I64, I64, PTR, I64, I64]
    e, args = function(module, _NAME, arguments, target.special, exported=True)
    counters, own, workers, stream, size, pieces = args
    with e.range(0, pieces) as index:
        e.call(sweep, e.offset(stream, index * size), size)
        e.store_release(index + 1, e.offset(counters, own * CACHE_LINE))
        with e.range(0, workers) as other:
            _spin(e, e.offset(counters, other * CACHE_LINE), index + 1)
    e.give()
    return compile_object(module, target)


def _spin(e: Emitter, place: Value, target: Value) -> None:
    seen = e.variable(e.load_acquire(place, I64))
    with e.loop_while(lambda: seen.get() < target):
        pause(e)
        seen.set(e.load_acquire(place, I64))


def exchange_seconds(cpus: Sequence[int], size: int, repetitions: int = 9) -> float:
    """Seconds that one exchange among workers, one pinned to each of `cpus`, adds to their reading.

    It is never below what the counters alone take.

    Args:
        size: bytes of memory, divided among the workers (`bandwidth.probe_bytes`).
    """
    if len(cpus) == 1:
        return 0.0
    kernel, memory = PieceKernel(), Memory(size)
    memory.view()[:] = 1  # so that every page exists, and is not the one page of zeros
    pieces = max(1, size // len(cpus) // PIECE)
    added: list[float] = []
    bare: list[float] = []
    for _ in range(repetitions):
        whole = _run(kernel, memory, cpus, pieces * PIECE, 1)
        split = _run(kernel, memory, cpus, PIECE, pieces)
        added.append((split - whole) / pieces)
        bare.append(_run(kernel, memory, cpus, 0, pieces) / pieces)
    return max(median(added), median(bare))


def _run(kernel: PieceKernel, memory: Memory, cpus: Sequence[int], size: int, pieces: int) -> float:
    """Seconds from the moment when all workers are ready until the last has finished."""
    counters = np.zeros((len(cpus), CACHE_LINE), np.uint8)
    ready = threading.Barrier(len(cpus) + 1)
    share = memory.bytes // len(cpus)

    def work(index: int, cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        ready.wait()
        start = memory.address + index * share
        kernel.call(counters.ctypes.data, index, len(cpus), start, size, pieces)

    threads = [threading.Thread(target=work, args=each) for each in enumerate(cpus)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - begin
