"""pack-weights: one linear stream of bytes a worker, in the order in which it is consumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import LoopOp, StageOp, StreamOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import ProgramOp, WeightOp
from headrace.ir.shares import bound_ranges, unit_ranges
from headrace.ir.stages import ROW_UNIT, Segment, has_axis, segments, stage_kind, stage_name
from headrace.ir.types import RunAttr
from headrace.passes.programs import program_of, stages_of
from headrace.passes.weight_types import packed_row_bytes


@dataclass(frozen=True)
class PackWeightsPass(ModulePass):
    """Lay the weights of products out as one stream of bytes a worker.

    Before: product stages are sharded; there are no streams.
    After: a `step.stream` for each product stage and worker. The streams of one worker, taken in
        the order of the program (a loop's stages trip by trip), cover its bytes from 0 without a
        hole; each row of each product's weight is in exactly one worker's stream, or, by columns,
        a part of it in each.
    Leaves alone: the program.

    Raises:
        ProgramError: a product stage is not sharded, or the module has streams already.
    """

    name = "pack-weights"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if any(isinstance(each, StreamOp) for each in op.ops):
            raise ProgramError("the module has streams already", where="pack-weights")
        for worker in range(_workers(op)):
            for stream in _streams(program_of(op), worker):
                op.body.block.add_op(stream)


def _workers(module: ModuleOp) -> int:
    """The number of workers that product stages are sharded over."""
    workers = 0
    for stage in filter(_is_product, stages_of(module)):
        if stage.shard is None:
            raise ProgramError(
                "a product has no shard", where=f"@{stage_name(stage)}", hint="run shard before"
            )
        workers = len(stage.shard.data.bounds) - 1
    return workers


def _streams(program: ProgramOp, worker: int) -> Iterator[StreamOp]:
    at = 0
    for op in program.block.ops:
        if isinstance(op, LoopOp):
            stages = [each for each in op.block.ops if isinstance(each, StageOp)]
            parts = [_Part.of(stage, worker) for stage in stages if _is_product(stage)]
            trip = sum(part.bytes for part in parts)
            for part in parts:
                yield part.stream(worker, at, trip)
                at += part.bytes
            at += trip * (op.trip_count - 1)
        elif isinstance(op, StageOp) and _is_product(op):
            part = _Part.of(op, worker)
            yield part.stream(worker, at, 0)
            at += part.bytes


def _is_product(stage: StageOp) -> bool:
    return stage_kind(stage) == "product"


@dataclass(frozen=True, slots=True)
class _Part:
    """What one worker reads in one stage."""

    stage: str
    bytes: int
    runs: tuple[RunAttr, ...]

    @classmethod
    def of(cls, stage: StageOp, worker: int) -> _Part:
        runs: list[RunAttr] = []
        size = 0
        columns = _columns(stage, worker)
        for segment in segments(stage):
            units = unit_ranges(stage, segment)[worker]
            if units and columns != range(0):
                names = [_weight_name(linear) for linear in segment.linears]
                runs.append(RunAttr.of(names, segment.unit_rows, units, columns))
                size += len(units) * unit_bytes(segment, columns)
        return cls(stage_name(stage), size, tuple(runs))

    def stream(self, worker: int, at: int, trip: int) -> StreamOp:
        return StreamOp(self.stage, worker, at, self.bytes, trip, self.runs)


def _weight_name(linear: LinearOp) -> str:
    owner = linear.weight.owner
    assert isinstance(owner, WeightOp)
    return owner.weight_name.data


def _columns(stage: StageOp, worker: int) -> range | None:
    """The columns of its weights that a worker reads; None for all."""
    if stage.shard is None or not has_axis(stage, "columns"):
        return None
    shard = stage.shard.data
    return bound_ranges(shard, shard.bounds[-1])[worker]


def unit_bytes(segment: Segment, columns: range | None = None) -> int:
    """Bytes of one unit of a segment in a stream: whole tiles of each of its linears.

    columns: those of each row that are read; None for all.
    """
    rows = -(-segment.unit_rows // ROW_UNIT) * ROW_UNIT
    return rows * packed_row_bytes(segment, None if columns is None else len(columns))
