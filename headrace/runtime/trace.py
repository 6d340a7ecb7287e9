"""What workers have recorded of their time, brought onto the host's clock."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.codegen.record import HEADER_BYTES, RECORD, RECORDER_BYTES, RECORDS
from headrace.codegen.target import NativeLibrary
from headrace.runtime.control import Control
from headrace.runtime.memory import Memory

Records = NDArray[np.void]

#: Of host calls the last ones are kept, too.
_HOST_CALLS = 4096

#: The clocks' rates are compared over at least this long.
_APART_NS = 20_000_000

_TRIES = 32


@dataclass(frozen=True, slots=True)
class HostCall:
    """A call of the host's, on its clock (`time.perf_counter_ns`)."""

    name: str
    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Clock:
    """The processor's time-stamp counter against the host's clock: `zero_ns` is at count `zero`."""

    zero: int
    zero_ns: int
    ns_per_count: float

    def ns(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The host's time of some counts."""
        return self.zero_ns + np.rint((counts - self.zero) * self.ns_per_count).astype(np.int64)

    def length_ns(self, counts: NDArray[Any]) -> NDArray[np.int64]:
        """Lengths of time."""
        return np.rint(counts * self.ns_per_count).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Recording:
    """All that is known of what a program did lately.

    Attributes:
        workers: of each worker its records, `codegen.record.RECORD`, the oldest first; a record
            begins at the end of the one before it, so the first only gives the second's begin.
        host: calls of the host's. clock: of the records' times.
    """

    workers: tuple[Records, ...]
    host: tuple[HostCall, ...]
    clock: Clock


class Recorder:
    """The memory that workers write records into."""

    def __init__(self, control: Control, workers: int) -> None:
        self._memory = [Memory(RECORDER_BYTES) for _ in range(workers)]
        self._host: deque[HostCall] = deque(maxlen=_HOST_CALLS)
        for worker, memory in enumerate(self._memory):
            control.set_worker(worker, "trace", memory.address)

    def start(self, library: NativeLibrary) -> None:
        """Take the first reading of the clocks. The library is the program's own."""
        self._counter: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_int64)(
            library.address("clock")
        )
        self._first = self._read_clocks()

    def note(self, name: str, begin_ns: int) -> None:
        """Note a call of the host's that ends now."""
        self._host.append(HostCall(name, begin_ns, perf_counter_ns()))

    def read(self) -> Recording:
        """The records so far; workers must be idle."""
        return Recording(
            workers=tuple(map(_in_order, self._memory)),
            host=tuple(self._host),
            clock=self._calibrated(),
        )

    def _calibrated(self) -> Clock:
        (zero, zero_ns), (count, now) = self._first, self._read_clocks()
        if now - zero_ns < _APART_NS:
            sleep(_APART_NS / 1e9)
            count, now = self._read_clocks()
        return Clock(zero, zero_ns, (now - zero_ns) / (count - zero))

    def _read_clocks(self) -> tuple[int, int]:
        """The counter and the host's clock at one moment: the closest of some readings."""
        return min(self._reading() for _ in range(_TRIES))[1:]

    def _reading(self) -> tuple[int, int, int]:
        before = perf_counter_ns()
        count = self._counter()
        after = perf_counter_ns()
        return after - before, count, (before + after) // 2


def _in_order(memory: Memory) -> Records:
    view = memory.view()
    written = int(view[:HEADER_BYTES].view(np.int64)[0])
    ring = view[HEADER_BYTES:].view(RECORD)
    if written <= RECORDS:
        return ring[:written].copy()
    return np.roll(ring, -(written % RECORDS))
