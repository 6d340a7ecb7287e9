"""The same work by several threads at once, each pinned to a processor."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from time import perf_counter


def worker_counts(most: int) -> tuple[int, ...]:
    """1, 2, 3, 4, then doubling, and `most` itself."""
    few = [count for count in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512) if count < most]
    return (*few, most)


def seconds_together(cpus: Sequence[int], work: Callable[[int], None]) -> float:
    """Seconds from the moment when all are ready until the last has finished `work(index)`."""
    ready = threading.Barrier(len(cpus) + 1)

    def run(index: int, cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        ready.wait()
        work(index)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(cpus)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - begin
