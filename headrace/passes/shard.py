"""shard: which share of each stage every worker does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import segments, stage_kind, storage
from headrace.ir.types import Shard, ShardAttr
from headrace.passes.programs import require_stages, stages_of
from headrace.passes.weight_types import packed_row_bytes


@dataclass(frozen=True)
class ShardPass(ModulePass):
    """Divide each stage over `workers`.

    Before: every operator is in a stage.
    After: every stage has a shard. Products: `rows`, contiguous units balanced by the bytes of
        weights that each worker reads. Attention: `context`. Sampling: `tokens`. Embedding
        and row-wise stages: `all` where their result is private, else (they append too)
        `tokens`.
    Leaves alone: what stages compute, and their order.

    Raises:
        ProgramError: fewer than one worker, or operators outside of stages.
    """

    name = "shard"

    workers: int

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.workers < 1:
            raise ProgramError(f"{self.workers} workers cannot run a program", where="shard")
        require_stages(op)
        for stage in stages_of(op):
            stage.shard = ShardAttr.of(_shard(stage, self.workers))


def _shard(stage: StageOp, workers: int) -> Shard:
    match stage_kind(stage):
        case "product":
            return Shard("rows", balanced_bounds(tuple(_unit_costs(stage)), workers))
        case "attention":
            return Shard("context")
        case "sample":
            return Shard("tokens")
        case "embedding" | "rowwise":
            private = all(storage(result) == "private" for result in stage.results_)
            return Shard("all" if private else "tokens")


def _unit_costs(stage: StageOp) -> Iterator[int]:
    """Bytes of the rows of weights that each unit reads, over all segments."""
    for segment in segments(stage):
        row_bytes = packed_row_bytes(segment)
        for unit in range(segment.units):
            rows = min(segment.unit_rows, segment.rows - unit * segment.unit_rows)
            yield rows * row_bytes


def balanced_bounds(costs: Sequence[int], workers: int) -> tuple[int, ...]:
    """Where to cut a sequence of units so that each worker has close to an equal share.

    Each of the `workers - 1` cuts goes to the unit border nearest to its ideal place.
    """
    borders = (0, *accumulate(costs))
    total = borders[-1]
    cuts = (
        min(range(len(borders)), key=lambda unit: abs(borders[unit] * workers - total * worker))
        for worker in range(workers + 1)
    )
    return tuple(cuts)
