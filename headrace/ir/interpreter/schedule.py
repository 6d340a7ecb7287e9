"""The order in which every worker runs the stages of a mapped program, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.ir import Block

from headrace.errors import ProgramError
from headrace.ir.interpreter.clocks import Execution
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.program_ops import ProgramOp, ReturnOp, YieldOp
from headrace.ir.stages import stage_name
from headrace.ir.types import TokenAttr


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stages of a mapped program by name, with the loop that holds each."""

    stages: dict[str, StageOp]
    loops: dict[str, LoopOp | None]
    workers: int

    @classmethod
    def of(cls, program: ProgramOp) -> Schedule:
        found = list(_stages(program.block))
        stages = {stage_name(stage): stage for stage in found}
        if len(stages) != len(found):
            raise ProgramError("two stages have one name", where=f"{sorted(stages)}")
        loops = {name: _loop_of(stage) for name, stage in stages.items()}
        return cls(stages, loops, _worker_count(stages))

    def waits(self, stage: StageOp, trip: int) -> list[Execution]:
        """The executions that a worker waits for before it runs the stage in a trip."""
        edges = () if stage.after is None else stage.after.data
        found = [self._execution(stage, trip, edge) for edge in edges]
        return [execution for execution in found if execution.trip >= 0]

    def _execution(self, stage: StageOp, trip: int, edge: TokenAttr) -> Execution:
        """Vacuous, with a negative trip, where the edge reaches before the first one."""
        name, distance = edge.stage_name, edge.distance.data
        if name not in self.stages:
            raise ProgramError(
                f"a token edge waits for @{name}, which is no stage",
                where=f"stage @{stage_name(stage)}",
            )
        loop = self.loops[name]
        if loop is self.loops[stage_name(stage)]:
            return Execution(name, trip - distance)
        return Execution(name, 0 if loop is None else loop.trip_count - 1 - distance)


def is_mapped(program: ProgramOp) -> bool:
    """Whether every operator is in a stage, and every stage is sharded and has its buffers."""
    blocks = [program.block, *(op.block for op in program.block.ops if isinstance(op, LoopOp))]
    ops = [op for block in blocks for op in block.ops]
    return all(
        (op.shard is not None and op.buffers is not None)
        if isinstance(op, StageOp)
        else isinstance(op, LoopOp | YieldOp | ReturnOp)
        for op in ops
    )


def _stages(block: Block) -> Iterator[StageOp]:
    for op in block.ops:
        if isinstance(op, StageOp):
            yield op
        elif isinstance(op, LoopOp):
            yield from _stages(op.block)


def _loop_of(stage: StageOp) -> LoopOp | None:
    parent = stage.parent_op()
    return parent if isinstance(parent, LoopOp) else None


def _worker_count(stages: dict[str, StageOp]) -> int:
    counts = {
        name: len(stage.shard.data.bounds) - 1
        for name, stage in stages.items()
        if stage.shard is not None and stage.shard.data.bounds
    }
    if len(set(counts.values())) > 1:
        raise ProgramError(f"stages are sharded over different numbers of workers: {counts}")
    return next(iter(counts.values()), 1)
