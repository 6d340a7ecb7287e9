"""Vector clocks: what each worker knows of the others' progress, from token edges alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import row_ranges, segments, stage_name, storage
from headrace.ir.types import Shard

Clock = NDArray[np.int32]
Mask = NDArray[np.bool_]


def shard_of(stage: StageOp) -> Shard:
    """The stage's shard.

    Raises:
        ProgramError: it has none.
    """
    if stage.shard is None:
        raise ProgramError(
            "the stage has no shard", where=f"stage @{stage_name(stage)}", hint="run shard before"
        )
    return stage.shard.data


def producers(stage: StageOp, workers: int) -> Mask:
    """Which workers have a share in a stage's results: those that others wait for."""
    if shard_of(stage).axis != "rows":
        return np.ones(workers, np.bool_)
    mask = np.zeros(workers, np.bool_)
    for segment in segments(stage):
        mask |= np.array([len(rows) > 0 for rows in row_ranges(stage, segment)])
    return mask


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
