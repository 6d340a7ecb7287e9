"""order-tokens: the token edges that make every cross-worker read safe, and no others."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.passes import ModulePass

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import StageOp
from headrace.ir.shares import shard_of
from headrace.ir.types import TokenAttr
from headrace.passes.clocks import Clocks
from headrace.passes.programs import program_of, require_stages, stages_of
from headrace.passes.reads import reads_of
from headrace.passes.timeline import Execution, Timeline


@dataclass(frozen=True)
class OrderTokensPass(ModulePass):
    """Give each stage the token edges that it needs.

    Before: every stage has a shard, all for one number of workers.
    After: `after` of every stage names the stages it waits for. With these edges, whenever a
        worker reads what another worker wrote (a shared or partial value, or the KV cache), it
        has waited, itself or through the stages it waited for, until that worker was done. An
        edge that earlier waits of the same or a preceding stage imply is not there. Private
        values need none.
    Leaves alone: everything else. Overwriting is plan-memory's concern.

    A step as a whole starts when the step before has sampled: that wait is the schedule's.

    Raises:
        ProgramError: a stage without shard, or shards for different numbers of workers.
    """

    name = "order-tokens"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        require_stages(op)
        timeline = Timeline(program_of(op))
        edges: dict[StageOp, list[TokenAttr]] = {stage: [] for stage in stages_of(op)}
        clocks = Clocks(worker_count(op))
        for execution in timeline.executions:
            _wait_for_reads(timeline, clocks, execution, edges[execution.stage])
            clocks.finish(execution.stage, execution.place)
        for stage, after in edges.items():
            stage.after = ArrayAttr(after)


def worker_count(module: ModuleOp) -> int:
    """The number of workers for which the program is sharded (1 if no stage tells).

    Raises:
        ProgramError: stages disagree.
    """
    bounds = {len(shard_of(stage).bounds) - 1 for stage in stages_of(module)} - {-1}
    if len(bounds) > 1:
        raise ProgramError(f"stages are sharded for different numbers of workers, {sorted(bounds)}")
    return bounds.pop() if bounds else 1


def _wait_for_reads(
    timeline: Timeline, clocks: Clocks, at: Execution, edges: list[TokenAttr]
) -> None:
    """Apply the stage's edges, and add those that this execution still lacks, latest first."""
    for edge in edges:
        awaited = timeline.awaited(edge, at)
        if awaited is not None:
            clocks.wait(awaited)
    reads = reads_of(timeline, at, clocks.workers)
    for read in sorted(reads, key=lambda each: -each.made.place):
        if not clocks.covers(read.pairs, read.made.place):
            made = timeline.executions[read.made.place]
            name = made.stage.sym_name.data
            edges.append(TokenAttr.of(name, timeline.distance(made, at)))
            clocks.wait(made.place)
