"""How fast this machine reads memory, by the number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.bench.read_kernel import ReadKernel
from headrace.bench.spread import Spread
from headrace.bench.together import seconds_together, worker_counts
from headrace.machine import Host
from headrace.runtime.memory import Memory

_LEAST = 256 << 20
_PAGE = 4096

#: What counts as equally fast: rates differ so much from one measurement to the next.
_AS_FAST = 0.95


def probe_bytes(host: Host) -> int:
    """Memory to read: four times the last-level caches, but an eighth of what is there at most."""
    wanted = max(_LEAST, 4 * (host.l3_bytes or 0))
    return wanted if host.memory_bytes is None else min(wanted, host.memory_bytes // 8)


def read_bandwidth(
    cpus: Sequence[int], size: int, passes: int = 3, repetitions: int = 5
) -> dict[int, Spread]:
    """Bytes a second that 1, 2, ... workers read together, one pinned to each of `cpus`.

    Args:
        size: bytes of memory, divided among the workers (`probe_bytes`).
        passes: reads of all of it in one measurement.
    """
    kernel, memory = ReadKernel(), Memory(size)
    memory.view()[:] = 1  # so that every page exists, and is not the one page of zeros
    samples: dict[int, list[float]] = {count: [] for count in worker_counts(len(cpus))}
    for _ in range(repetitions):
        for count, found in samples.items():
            seconds = _read(kernel, memory, cpus[:count], passes)
            found.append(memory.bytes * passes / seconds)
    return {count: Spread.of(found) for count, found in samples.items()}


def fastest_workers(bandwidth: Mapping[int, Spread]) -> int:
    """The most workers that do not read more slowly than fewer do.

    Prompts and batches are bound by arithmetic and gain from each core; an answer alone is bound by
    reading, and must not lose.
    """
    best = max(spread.median for spread in bandwidth.values())
    return max(count for count, spread in bandwidth.items() if spread.median >= _AS_FAST * best)


def _read(kernel: ReadKernel, memory: Memory, cpus: Sequence[int], passes: int) -> float:
    share = memory.bytes // len(cpus) // _PAGE * _PAGE
    return seconds_together(
        cpus, lambda index: kernel.call(memory.address + index * share, share, passes)
    )
