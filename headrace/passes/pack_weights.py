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
from headrace.ir.stages import ROW_UNIT, Segment, segments, stage_kind, stage_name
from headrace.ir.types import RunAttr
from headrace.passes.programs import program_of, stages_of
from headrace.passes.weight_types import packed_row_bytes


@dataclass(frozen=True)
class PackWeightsPass(ModulePass):
    """Lay the weights of products out as one stream of bytes a worker.

    Before: product stages are sharded; there are no streams.
    After: a `step.stream` for each product stage and worker. The streams of one worker, taken in
        the order of the program (a loop's stages trip by trip), cover its bytes from 0 without a
        hole; each row of each product's weight is in exactly one worker's stream.
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
        assert stage.shard is not None
        low, high = stage.shard.data.bounds[worker : worker + 2]
        runs: list[RunAttr] = []
        size = first = 0
        for segment in segments(stage):
            begin = min(max(low - first, 0), segment.units)
            end = min(max(high - first, 0), segment.units)
            first += segment.units
            if begin < end:
                names = [_weight_name(linear) for linear in segment.linears]
                runs.append(RunAttr.of(names, segment.unit_rows, begin, end))
                size += (end - begin) * unit_bytes(segment)
        return cls(stage_name(stage), size, tuple(runs))

    def stream(self, worker: int, at: int, trip: int) -> StreamOp:
        return StreamOp(self.stage, worker, at, self.bytes, trip, self.runs)


def _weight_name(linear: LinearOp) -> str:
    owner = linear.weight.owner
    assert isinstance(owner, WeightOp)
    return owner.weight_name.data


def unit_bytes(segment: Segment) -> int:
    """Bytes of one unit of a segment in a stream: whole tiles of each of its linears."""
    rows = -(-segment.unit_rows // ROW_UNIT) * ROW_UNIT
    return rows * packed_row_bytes(segment)
