"""What a mapped program costs, counted: the figures that `headrace explain` prints."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import ModuleOp

from headrace.formats.storage import storage_format
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import EmbeddingOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.shares import shard_of
from headrace.ir.stages import Kind, stage_kind, stage_name, stage_ops
from headrace.ir.types import Shard, TokenAttr, WeightType
from headrace.passes.clocks import producers
from headrace.passes.order_tokens import worker_count
from headrace.passes.programs import stages_of


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage.

    Attributes:
        executions: how often it runs in a step: the trips of its loop, or 1.
        operators: the names of what is fused in it, in order, without weights.
        weight_bytes: of all weights that one execution reads for one token; each weight is
            counted once, of an embedding table one row.
        exchanges: waits for another stage, in all executions of a step.
        token_edges: pairs of a waiting and a producing worker in these exchanges.
    """

    name: str
    kind: Kind
    in_loop: bool
    executions: int
    operators: tuple[str, ...]
    shard: Shard
    weight_bytes: int
    exchanges: int
    token_edges: int


@dataclass(frozen=True, slots=True)
class ProgramReport:
    """A mapped program. `layers` are all trips of all loops; straight layers are not counted."""

    workers: int
    loops: tuple[int, ...]
    stages: tuple[StageReport, ...]

    @property
    def layers(self) -> int:
        return sum(self.loops)

    @property
    def stages_per_layer(self) -> float:
        """Executions of stages in loops, for each trip."""
        inside = sum(stage.executions for stage in self.stages if stage.in_loop)
        return inside / self.layers if self.loops else 0.0

    @property
    def weight_bytes_per_token(self) -> int:
        return sum(stage.weight_bytes * stage.executions for stage in self.stages)

    @property
    def exchanges_per_step(self) -> int:
        return sum(stage.exchanges for stage in self.stages)

    @property
    def token_edges_per_step(self) -> int:
        return sum(stage.token_edges for stage in self.stages)


def report(module: ModuleOp) -> ProgramReport:
    """Count what a mapped program does in a step.

    Raises:
        ProgramError: a stage is not sharded.
        UnsupportedFormatError: a weight's format is not known.
    """
    workers = worker_count(module)
    stages = {stage_name(stage): stage for stage in stages_of(module)}
    loops = tuple(op.trip_count for op in module.walk() if isinstance(op, LoopOp))
    reports = tuple(_stage_report(stage, stages, workers) for stage in stages.values())
    return ProgramReport(workers, loops, reports)


def _stage_report(stage: StageOp, stages: dict[str, StageOp], workers: int) -> StageReport:
    edges = tuple(stage.after or ())
    counts = [_times(edge, stage, stages[edge.stage_name]) for edge in edges]
    pairs = [_pairs(stage, stages[edge.stage_name], workers) for edge in edges]
    return StageReport(
        name=stage_name(stage),
        kind=stage_kind(stage),
        in_loop=isinstance(stage.parent_op(), LoopOp),
        executions=_executions(stage),
        operators=tuple(op.name.removeprefix("step.") for op in stage_ops(stage)),
        shard=shard_of(stage),
        weight_bytes=_weight_bytes(stage),
        exchanges=sum(counts),
        token_edges=sum(count * each for count, each in zip(counts, pairs, strict=True)),
    )


def _executions(stage: StageOp) -> int:
    loop = stage.parent_op()
    return loop.trip_count if isinstance(loop, LoopOp) else 1


def _times(edge: TokenAttr, stage: StageOp, producer: StageOp) -> int:
    """How often an edge is waited for: not in trips where it is vacuous."""
    if producer.parent is stage.parent:
        return _executions(stage) - edge.distance.data
    return 1


def _pairs(stage: StageOp, producer: StageOp, workers: int) -> int:
    awaited = int(producers(producer, workers).sum())
    # One token is sampled by worker 0; the others do not wait for its logits.
    return awaited - 1 if stage_kind(stage) == "sample" else (workers - 1) * awaited


def _weight_bytes(stage: StageOp) -> int:
    weights = [op for op in stage.block.ops if isinstance(op, WeightOp)]
    return sum(_read_bytes(weight) for weight in weights)


def _read_bytes(weight: WeightOp) -> int:
    kind = weight.result.type
    assert isinstance(kind, WeightType)
    users = [use.operation for use in weight.result.uses]
    is_table = all(isinstance(user, EmbeddingOp) for user in users)
    rows = 1 if is_table else prod(kind.shape[:-1])
    return rows * storage_format(kind.format.data).row_bytes(kind.shape[-1])
