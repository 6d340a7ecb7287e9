"""Which worker reads what another worker made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

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
    others = ~np.eye(workers, dtype=np.bool_)
    pairs = np.outer(participants(stage, workers), producers(producer, workers)) & others
    segment = segment_of(producer, producer.yielded[made.result.index])
    if segment is None or shard_of(producer).axis != "rows" or access(stage, value) == "all":
        return pairs
    written = row_ranges(producer, segment)
    for w, read in enumerate(_own_rows(stage, value)):
        for v, rows in enumerate(written):
            pairs[w, v] &= any(_overlap(each, rows) for each in read)
    return pairs


def _own_rows(stage: StageOp, value: SSAValue) -> Sequence[Sequence[range]]:
    """The rows of an outside value that the epilogue of each worker reads."""
    used = (segment_of(stage, op.results[0]) for op in readers(stage, value))
    found = [row_ranges(stage, segment) for segment in used if segment is not None]
    return list(zip(*found, strict=True))


def _overlap(a: range, b: range) -> bool:
    return max(a.start, b.start) < min(a.stop, b.stop)
