"""Vector clocks: what each worker knows to have happened, through token edges alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Execution:
    """A stage in one trip of its loop (trip 0 outside of loops)."""

    stage: str
    trip: int


@dataclass(slots=True)
class Clocks:
    """One vector clock a worker. Sources: Fidge 1988, Mattern 1989.

    known: [workers, workers]; known[w, v] is the last time of worker v that worker w has waited
        for, known[w, w] the time of w itself. A time is a worker's number of finished stages.
    signals: what a worker knew when it finished an execution.
    """

    known: Times
    signals: dict[tuple[Execution, int], Times] = field(
        default_factory=dict[tuple[Execution, int], Times]
    )

    @classmethod
    def of(cls, workers: int) -> Clocks:
        return cls(np.eye(workers, dtype=np.int64))

    def time(self, worker: int) -> int:
        return int(self.known[worker, worker])

    def signal(self, execution: Execution, worker: int) -> None:
        """The worker has finished an execution."""
        self.signals[execution, worker] = self.known[worker].copy()
        self.known[worker, worker] += 1

    def has_signalled(self, execution: Execution, worker: int) -> bool:
        return (execution, worker) in self.signals

    def wait(self, worker: int, execution: Execution, producer: int) -> None:
        """The worker has seen the producer's signal."""
        np.maximum(self.known[worker], self.signals[execution, producer], out=self.known[worker])
