"""What a chain of stages costs, against the same stages with an exchange between any two.

Costs are bytes: what a worker reads of its weights in the time. With one token, reading is nearly
all of the work, so the worker that reads most decides; an exchange costs as much as is read
meanwhile; and of sums in parts each worker reads those of all others.
"""

from __future__ import annotations

from headrace.ir.attention_ops import AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.shapes import features_of
from headrace.ir.stages import append_of, segments, stage_kind, stage_ops
from headrace.passes.balance import balanced_bounds, largest_share
from headrace.passes.chains import Chain, unit_costs

#: KV entries of a sequence for which attention's shares are weighed.
CONTEXT = 1024

#: Bytes of a number of KV entries, and of one that is exchanged.
_ENTRY, _FLOAT = 2, 4


def saving(chain: Chain, exchange: float, workers: int) -> float:
    """Bytes by which a chain is cheaper; negative if it is dearer.

    exchange: the cost of one, in bytes.
    """
    apart = sum(_most_by_rows(stage, workers) for stage in chain.shards)
    shares = [_share(stage, shard.bounds) for stage, shard in chain.shards.items()]
    together = sum(_whole(stage) * share for stage, share in zip(chain.shards, shares, strict=True))
    return apart - together + chain.saved * exchange - _sums(chain.last, workers)


def _share(stage: StageOp, bounds: tuple[int, ...]) -> float:
    """The part of a stage that the worker does who does most."""
    return largest_share([1] * bounds[-1], bounds) / bounds[-1]


def _most_by_rows(stage: StageOp, workers: int) -> float:
    if stage_kind(stage) == "attention":
        return _whole(stage) / workers
    costs = [cost for segment in segments(stage) for cost in unit_costs(segment)]
    return largest_share(costs, balanced_bounds(costs, workers))


def _whole(stage: StageOp) -> int:
    """Bytes that all workers together read in a stage."""
    if stage_kind(stage) == "attention":
        (op,) = (op for op in stage_ops(stage) if isinstance(op, AttentionOp))
        append = append_of(op)
        features = (*features_of(append.key), features_of(append.value)[1])
        return CONTEXT * _ENTRY * features[0] * (features[1] + features[2])
    return sum(cost for segment in segments(stage) for cost in unit_costs(segment))


def _sums(stage: StageOp, workers: int) -> int:
    """Bytes of sums in parts that a worker reads of others; its own are in its cache."""
    return _FLOAT * (workers - 1) * sum(segment.rows for segment in segments(stage))
