"""shard: which share of each stage every worker does."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.stages import segments, stage_kind, stage_ops, storage
from headrace.ir.types import Shard, ShardAttr
from headrace.passes.balance import balanced_bounds
from headrace.passes.chains import (
    Chain,
    attention_chains,
    joined,
    product_chains,
    unit_costs,
)
from headrace.passes.fuse_stages import fuse, unfuse
from headrace.passes.programs import require_stages, stages_of
from headrace.passes.shard_cost import saving

#: What may be asked for; see `ShardPass`.
MAPPINGS = ("auto", "rows", "columns")


@dataclass(frozen=True)
class ShardPass(ModulePass):
    """Divide each stage over `workers`.

    Before: every operator is in a stage.
    After: every stage has a shard. Products: `rows`, contiguous units balanced by the bytes of
        weights that each worker reads. Attention: `context`. Sampling: `tokens`. Embedding
        and row-wise stages: `all` where their result is private, else (they append too)
        `tokens`.
        Chains of stages (`chains.py`) that `mapping` chooses need no exchange between them:
        products and attention by `heads` or `rows`, the last product by `columns`. What was the
        epilogue of that one is in the stages that read its sums.
    Leaves alone: what is computed, and its order.

    workers: 1 or more.
    mapping: "rows" for no chains, "columns" for all that are possible, "auto" for those that are
        cheaper on the machine. There are none where a worker would be without rows of a product.
    exchange: what one exchange costs there: bytes of weights that a worker reads meanwhile. 0 for a
        machine of which nothing is known: "auto" is then "rows".

    Raises:
        ProgramError: fewer than one worker, an unknown mapping, or operators outside of stages.
    """

    name = "shard"

    workers: int
    mapping: str = "auto"
    exchange: int = 0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.workers < 1:
            raise ProgramError(f"{self.workers} workers cannot run a program", where="shard")
        if self.mapping not in MAPPINGS:
            known = ", ".join(MAPPINGS)
            raise ProgramError(
                f"there is no mapping {self.mapping!r}", where="shard", hint=f"one of {known}"
            )
        require_stages(op)
        for stage in stages_of(op):
            stage.shard = None  # one of another number of workers
        chosen = self._chosen(tuple(stages_of(op)))
        by_anchor = {_anchor(stage): shard for stage, shard in chosen.items()}
        sums = [each for each, shard in by_anchor.items() if shard.axis == "columns"]
        if sums:
            unfuse(op)
            fuse(op, frozenset(each for each in sums if isinstance(each, LinearOp)))
        for stage in stages_of(op):
            shard = by_anchor.get(_anchor(stage))
            if shard is not None:
                stage.shard = ShardAttr.of(shard)
        for stage in stages_of(op):
            if stage.shard is None:
                stage.shard = ShardAttr.of(_shard(stage, self.workers))

    def _chosen(self, stages: tuple[StageOp, ...]) -> dict[StageOp, Shard]:
        """The shards of the stages in chains that are worth it."""
        if self.workers == 1 or self.mapping == "rows" or not self._is_work_for_all(stages):
            return {}
        chains = attention_chains(stages, self.workers)
        chosen = joined(filter(self._is_worth_it, chains))
        chains = product_chains(stages, chosen, self.workers)
        return chosen | joined(filter(self._is_worth_it, chains))

    def _is_work_for_all(self, stages: tuple[StageOp, ...]) -> bool:
        """Whether each worker has rows of every product.

        Nobody waits for one without rows, who reads what it adds up when others have gone on.
        """
        products = (stage for stage in stages if stage_kind(stage) == "product")
        return all(sum(each.units for each in segments(s)) >= self.workers for s in products)

    def _is_worth_it(self, chain: Chain) -> bool:
        if self.mapping == "columns":
            return True
        return self.exchange > 0 and saving(chain, self.exchange, self.workers) > 0


def _anchor(stage: StageOp) -> Operation | None:
    """An operator by which a stage is known when its others have moved; None if it has none."""
    kinds = {"product": LinearOp, "attention": AttentionOp}
    kind = kinds.get(stage_kind(stage))
    if kind is None:
        return None
    return next(op for op in stage_ops(stage) if isinstance(op, kind))


def _shard(stage: StageOp, workers: int) -> Shard:
    match stage_kind(stage):
        case "product":
            costs = [cost for segment in segments(stage) for cost in unit_costs(segment)]
            return Shard("rows", balanced_bounds(costs, workers))
        case "attention":
            return Shard("context")
        case "sample":
            return Shard("tokens")
        case "embedding" | "rowwise":
            private = all(storage(result) == "private" for result in stage.results_)
            return Shard("all" if private else "tokens")
