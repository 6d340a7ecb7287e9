"""Which worker reads what another worker made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from xdsl.ir import OpResult, SSAValue

from headrace.ir.attention_ops import AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import LinearOp, ReshapeOp
from headrace.ir.shapes import features_of, product
from headrace.ir.shares import bound_ranges, row_ranges, shard_of
from headrace.ir.stages import access, outer_values, readers, segment_of, stage_kind, storage
from headrace.ir.types import CacheType
from headrace.passes.clocks import Mask, participants, producers
from headrace.passes.timeline import Execution, Made, Timeline

#: For each worker, ranges of a value's features (all of its dimensions as one); of a cache, of its
#: KV heads.
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
    inner = stage.yielded[result.index]
    if shard_of(stage).axis == "heads" and _is_by_head(stage, inner):
        return _head_rows(stage, inner)
    segment = segment_of(stage, inner)
    if segment is None:
        return None
    return [[rows] for rows in row_ranges(stage, segment)]


def read_rows(stage: StageOp, value: SSAValue) -> Rows | None:
    """The rows of a value from outside that each worker reads; None for all."""
    axis = shard_of(stage).axis
    if axis == "columns" and _enters_product(stage, value):
        return _head_rows(stage, value)
    if axis == "heads" and stage_kind(stage) == "attention" and _is_of_heads(stage, value):
        return _head_rows(stage, value)
    if axis not in ("rows", "heads") or access(stage, value) == "all":
        return None
    used = (segment_of(stage, op.results[0]) for op in readers(stage, value))
    ranges = [row_ranges(stage, segment) for segment in used if segment is not None]
    return list(zip(*ranges, strict=True))


def _is_by_head(stage: StageOp, inner: SSAValue) -> bool:
    """Whether a yielded value's shares are known by heads alone: attention's, or a cache's."""
    return stage_kind(stage) == "attention" or isinstance(inner.type, CacheType)


def _is_of_heads(stage: StageOp, value: SSAValue) -> bool:
    """Whether attention reads a value head by head: queries and cache."""
    users = readers(stage, value)
    return all(isinstance(op, AttentionOp) and value in (op.query, op.cache) for op in users)


def _enters_product(stage: StageOp, value: SSAValue) -> bool:
    """Whether a value is a product's input as it is, but for its shape."""
    return all(
        isinstance(op, LinearOp)
        or (isinstance(op, ReshapeOp) and _enters_product(stage, op.result))
        for op in readers(stage, value)
    )


def _head_rows(stage: StageOp, value: SSAValue) -> Rows:
    """Each worker's features (of a cache, heads) where the stage's bounds divide them."""
    shard = shard_of(stage)
    is_cache = isinstance(value.type, CacheType)
    whole = shard.bounds[-1] if is_cache else product(features_of(value))
    return [[rows] for rows in bound_ranges(shard, whole)]


def overlaps(left: Rows | None, right: Rows | None, workers: int) -> Mask:
    """[w, v]: whether rows of worker w on the left are among those of worker v on the right."""
    if left is None or right is None:
        return np.ones((workers, workers), np.bool_)
    return np.array([[any(_overlap(a, b) for a in w for b in v) for v in right] for w in left])


def _overlap(a: range, b: range) -> bool:
    return max(a.start, b.start) < min(a.stop, b.stop)
