"""Which worker reads what another worker made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from xdsl.ir import OpResult, SSAValue

from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import (
    access,
    outer_values,
    readers,
    row_ranges,
    segment_of,
    storage,
)
from headrace.passes.clocks import Mask, participants, producers, shard_of
from headrace.passes.timeline import Execution, Made, Timeline

#: For each worker, ranges of rows.
Rows: TypeAlias = Sequence[Sequence[range]]


@dataclass(frozen=True, slots=True)
class Read:
    """One execution reads a value; pairs[w, v]: worker w reads what worker v wrote."""

    value: SSAValue
    made: Made
    pairs: Mask


def reads_of(timeline: Timeline, at: Execution, workers: int) -> Iterator[Read]:
    """The reads of an execution that can cross workers, in order of first use."""
    for value in outer_values(at.stage):
        made = timeline.maker(value, at)
        if made is not None and storage(made.result) != "private":
            producer = timeline.executions[made.place].stage
            yield Read(value, made, _pairs(at.stage, value, producer, made, workers))


def _pairs(stage: StageOp, value: SSAValue, producer: StageOp, made: Made, workers: int) -> Mask:
    pairs = np.outer(participants(stage, workers), producers(producer, workers))
    rows = read_rows(stage, value), written_rows(producer, made.result)
    return pairs & ~np.eye(workers, dtype=np.bool_) & overlaps(*rows, workers)


def written_rows(stage: StageOp, result: OpResult) -> Rows | None:
    """The rows of a stage's result that each worker writes; None where rows do not tell."""
    segment = segment_of(stage, stage.yielded[result.index])
    if segment is None or shard_of(stage).axis != "rows":
        return None
    return [[rows] for rows in row_ranges(stage, segment)]


def read_rows(stage: StageOp, value: SSAValue) -> Rows | None:
    """The rows of a value from outside that each worker reads; None for all."""
    if shard_of(stage).axis != "rows" or access(stage, value) == "all":
        return None
    used = (segment_of(stage, op.results[0]) for op in readers(stage, value))
    ranges = [row_ranges(stage, segment) for segment in used if segment is not None]
    return list(zip(*ranges, strict=True))


def overlaps(left: Rows | None, right: Rows | None, workers: int) -> Mask:
    """[w, v]: whether rows of worker w on the left are among those of worker v on the right."""
    if left is None or right is None:
        return np.ones((workers, workers), np.bool_)
    return np.array([[any(_overlap(a, b) for a in w for b in v) for v in right] for w in left])


def _overlap(a: range, b: range) -> bool:
    return max(a.start, b.start) < min(a.stop, b.stop)
