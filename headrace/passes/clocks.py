"""Vector clocks: what each worker knows of the others' progress, from token edges alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.ir.mapping_ops import StageOp
from headrace.ir.shares import bound_ranges, row_ranges, shard_of
from headrace.ir.stages import segments, stage_kind, storage

Clock = NDArray[np.int32]
Mask = NDArray[np.bool_]


def producers(stage: StageOp, workers: int) -> Mask:
    """Which workers have a share in a stage's results: those that others wait for."""
    shard = shard_of(stage)
    if not shard.bounds:
        return np.ones(workers, np.bool_)
    if stage_kind(stage) == "attention":
        return _non_empty(bound_ranges(shard, shard.bounds[-1]))
    mask = np.zeros(workers, np.bool_)
    for segment in segments(stage):
        mask |= _non_empty(row_ranges(stage, segment))
    return mask


def _non_empty(ranges: Sequence[range]) -> Mask:
    return np.array([len(each) > 0 for each in ranges])


def participants(stage: StageOp, workers: int) -> Mask:
    """Which workers read a stage's inputs: its producers, and all that need a private copy."""
    if any(storage(result) == "private" for result in stage.results_):
        return np.ones(workers, np.bool_)
    return producers(stage, workers)


class Clocks:
    """The state while executions pass in order.

    known[w, v]: the place of the last execution that worker w knows worker v to have finished.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.known: Clock = np.full((workers, workers), -1, np.int32)
        self._done: list[Clock] = []
        self._producers: list[Mask] = []

    def wait(self, place: int) -> None:
        """All workers wait until all producers have finished the execution `place`."""
        learnt = self._done[place][self._producers[place]].max(axis=0, initial=-1)
        self.known = np.maximum(self.known, learnt)

    def finish(self, stage: StageOp, place: int) -> None:
        """Every worker finishes the execution `place`, which must be the next."""
        assert place == len(self._done)
        np.fill_diagonal(self.known, place)
        self._done.append(self.known.copy())
        self._producers.append(producers(stage, self.workers))

    def covers(self, pairs: Mask, place: int) -> bool:
        """Whether w knows v to have finished the execution `place`, for all pairs (w, v)."""
        return bool((self.known[pairs] >= place).all())
