"""How fast this machine multiplies 8-bit numbers, by the number of workers."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.bench.multiply_kernel import MultiplyKernel
from headrace.bench.spread import Spread
from headrace.bench.together import seconds_together, worker_counts
from headrace.codegen.target import Target

_ROUNDS = 1 << 21


def multiply_rates(
    target: Target, cpus: Sequence[int], rounds: int = _ROUNDS, repetitions: int = 5
) -> dict[int, Spread]:
    """8-bit multiply-adds a second of 1, 2, ... workers together, one pinned to each of `cpus`.

    The peak of what products can reach: the same instructions, on registers alone.

    Args:
        rounds: of the kernel, by each worker in one measurement.
    """
    kernel = MultiplyKernel(target)
    samples: dict[int, list[float]] = {count: [] for count in worker_counts(len(cpus))}
    for _ in range(repetitions):
        for count, found in samples.items():
            seconds = seconds_together(cpus[:count], lambda _: kernel.run(rounds))
            found.append(count * rounds * kernel.round_macs / seconds)
    return {count: Spread.of(found) for count, found in samples.items()}
