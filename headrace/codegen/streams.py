"""What each worker's stream of weights holds, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.codegen.manifest import Run, StreamPart
from headrace.codegen.structure import Structure
from headrace.codegen.tile_format import TILE_ROWS, tile_format
from headrace.codegen.widths import weight_format
from headrace.ir.mapping_ops import StageOp, StreamOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.shapes import weight_shape
from headrace.ir.stages import stage_name
from headrace.ir.types import RunAttr


def stream_parts(structure: Structure, worker: int) -> Iterator[StreamPart]:
    """What one worker reads, in the order of the stages."""
    for stage in structure.stages:
        for stream in structure.stage_streams(stage):
            if stream.worker.data[0] == worker:
                yield _part(structure, stage, stream)


def stream_length(structure: Structure, worker: int) -> int:
    """Bytes of one worker's stream."""
    parts = stream_parts(structure, worker)
    return max(part.at + part.bytes + part.trip * (part.trips - 1) for part in parts)


def _part(structure: Structure, stage: StageOp, stream: StreamOp) -> StreamPart:
    weights = {
        linear.weight.owner.weight_name.data: linear.weight.owner
        for linear in stage.block.ops
        if isinstance(linear, LinearOp) and isinstance(linear.weight.owner, WeightOp)
    }
    return StreamPart(
        stage=stage_name(stage),
        worker=stream.worker.data[0],
        at=stream.at.data[0],
        bytes=stream.bytes.data[0],
        trip=stream.trip.data[0],
        trips=structure.stage_trips(stage),
        runs=tuple(_run(run, weights) for run in stream.runs),
    )


def _run(run: RunAttr, weights: dict[str, WeightOp]) -> Run:
    used = [weights[name.data] for name in run.weights]
    format, cols = weight_format(used[0].result), weight_shape(used[0].result)[1]
    columns = run.column_range(cols)
    tiles = -(-run.unit_rows.data // TILE_ROWS) * len(used)
    return Run(
        weights=tuple(zip(*(weight.names() for weight in used), strict=True)),
        unit_rows=run.unit_rows.data,
        first=run.first.data,
        last=run.last.data,
        cols=cols,
        first_col=columns.start,
        last_col=columns.stop,
        format=format,
        bytes=len(run.units) * tiles * tile_format(format).tile_bytes(len(columns)),
    )
