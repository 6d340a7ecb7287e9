"""Mapped program in, object code and manifest out."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp, TensorType

from headrace.codegen.abi import MAX_OUTPUTS
from headrace.codegen.manifest import (
    CacheShape,
    Manifest,
    RotaryTable,
    RowsPart,
    Run,
    StreamPart,
    VectorPart,
)
from headrace.codegen.plan import Plan, padded, unit_tiles, weight_format
from headrace.codegen.layout import TILE_ROWS, tile_format
from headrace.codegen.rows import stored_row_bytes
from headrace.codegen.target import Target, compile_object
from headrace.codegen.worker import WorkerCode
from headrace.ir.mapping_ops import StageOp, StreamOp
from headrace.ir.model_ops import FrequenciesOp, LinearOp, SampleOp, WeightOp, weight_shape
from headrace.ir.stages import stage_name
from headrace.ir.types import RunAttr

#: Tokens of one step at most; longer prompts are fed in chunks.
MAX_TOKENS = 256

_HUGE_PAGE = 2 << 20


def compile_program(
    module: ModuleOp, target: Target, *, profile: bool = False, max_tokens: int = MAX_TOKENS
) -> tuple[bytes, Manifest]:
    """Compile a mapped module for a target.

    Raises:
        ProgramError: the module is not fully mapped or not of a form that has code.
        UnsupportedFormatError: a weight's storage format has no kernel.
    """
    code = WorkerCode(module, target, max_tokens, profile)
    native = compile_object(code.build(), target)
    return native, _manifest(code.plan, profile)


def _manifest(plan: Plan, profile: bool) -> Manifest:
    streams = tuple(part for worker in range(plan.workers) for part in _parts(plan, worker))
    lengths = tuple(
        max(part.at + part.bytes + part.trip * (part.trips - 1) for part in streams if part.worker == w)
        for w in range(plan.workers)
    )  # fmt: skip
    starts = [0]
    for length in lengths:
        starts.append(_huge(starts[-1] + length))
    vectors = tuple(_vectors(plan))
    vector_bytes = sum(len(part.names) * 4 * padded(part.length) for part in vectors)
    rows = _rows(plan)
    rows_start = _huge(starts[-1] + vector_bytes)
    sample = next(plan.ops(SampleOp))
    logits_slot = plan.slots[plan.stage_buffer(sample.logits)]
    cache = plan.cache
    return Manifest(
        workers=plan.workers,
        vocabulary=rows.rows,
        context=plan.program.context_length,
        max_tokens=plan.max_tokens,
        max_outputs=MAX_OUTPUTS,
        trips=plan.trips,
        stages=tuple(stage_name(stage) for stage in plan.stages),
        looped=tuple(stage_name(stage) for stage in plan.body),
        streams=streams,
        stream_starts=tuple(starts[:-1]),
        stream_bytes=lengths,
        vectors=vectors,
        vectors_start=starts[-1],
        rows=rows,
        rows_start=rows_start,
        tables=tuple(_tables(plan)),
        cache=CacheShape(
            cache.layers,
            cache.heads,
            cache.key_head,
            cache.value_head,
            cache.format,
            cache.block_bytes,
            cache.token_bytes,
        ),
        logits_at=logits_slot,
        logits_stride=padded(_features(sample)),
        shared_bytes=plan.shared_bytes,
        private_bytes=plan.private_bytes,
        packed_bytes=rows_start + rows.rows * rows.row_bytes,
        token_edges_per_step=_edges(plan),
        profile=profile,
    )


def _features(sample: SampleOp) -> int:
    assert isinstance(sample.logits.type, TensorType)
    return sample.logits.type.get_shape()[1]


def _huge(bytes: int) -> int:
    return -(-bytes // _HUGE_PAGE) * _HUGE_PAGE


def _parts(plan: Plan, worker: int) -> list[StreamPart]:
    parts: list[StreamPart] = []
    for stage in plan.stages:
        for stream in plan.streams.get(stage_name(stage), []):
            if stream.worker.data[0] == worker:
                parts.append(_part(plan, stage, stream))
    return parts


def _part(plan: Plan, stage: StageOp, stream: StreamOp) -> StreamPart:
    linears = {
        owner.weight_name.data: (owner, linear)
        for linear in stage.block.ops
        if isinstance(linear, LinearOp)
        and isinstance(owner := linear.weight.owner, WeightOp)
    }
    return StreamPart(
        stage=stage_name(stage),
        worker=stream.worker.data[0],
        at=stream.at.data[0],
        bytes=stream.bytes.data[0],
        trip=stream.trip.data[0],
        trips=plan.trips if plan.in_loop(stage) else 1,
        runs=tuple(_run(run, linears) for run in stream.runs),
    )


def _run(run: RunAttr, linears: dict[str, tuple[WeightOp, LinearOp]]) -> Run:
    weights = [linears[name.data][0] for name in run.weights]
    linear = linears[run.weights.data[0].data][1]
    format, cols = weight_format(linear.weight), weight_shape(linear.weight)[1]
    tiles = -(-run.unit_rows.data // TILE_ROWS) * len(weights)
    return Run(
        weights=tuple(zip(*(weight.names() for weight in weights), strict=True)),
        unit_rows=run.unit_rows.data,
        first=run.first.data,
        last=run.last.data,
        cols=cols,
        format=format,
        bytes=len(run.units) * tiles * tile_format(format).tile_bytes(cols),
    )


def _vectors(plan: Plan) -> list[VectorPart]:
    return [
        VectorPart(op.names(), place.at, place.trip, weight_shape(op.result)[0])
        for op, place in plan.vectors.items()
    ]


def _rows(plan: Plan) -> RowsPart:
    table = plan.embedding.table
    owner = table.owner
    assert isinstance(owner, WeightOp)
    rows, cols = weight_shape(table)
    format = weight_format(table)
    return RowsPart(owner.weight_name.data, format, rows, cols, stored_row_bytes(format, cols))


def _tables(plan: Plan) -> list[RotaryTable]:
    return [
        RotaryTable(op.values.data, op.scale.only)
        for op in plan.module.ops
        if isinstance(op, FrequenciesOp)
    ]


def _edges(plan: Plan) -> int:
    """Cross-worker waits of one step: each waiting worker looks at every other worker's counter."""
    others = plan.workers - 1
    waits = sum(
        (plan.trips if plan.in_loop(stage) else 1)
        for stage in plan.stages
        if stage.after is not None and stage.after.data
    )
    next_step = others
    return waits * plan.workers * others + next_step


__all__ = ["MAX_TOKENS", "compile_program", "unit_tiles"]
