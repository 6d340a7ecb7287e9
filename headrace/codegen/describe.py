"""The manifest of a compiled program: its plan in numbers and names."""

from __future__ import annotations

from itertools import accumulate

from headrace.codegen.abi import MAX_OUTPUTS
from headrace.codegen.embeddings import learned_positions
from headrace.codegen.manifest import CacheShape, Manifest, RotaryTable, VectorPart
from headrace.codegen.plan import Plan
from headrace.codegen.streams import stream_length, stream_parts
from headrace.codegen.widths import FLOAT, padded, width
from headrace.ir.model_ops import SampleOp
from headrace.ir.program_ops import FrequenciesOp
from headrace.ir.shapes import weight_shape
from headrace.ir.stages import stage_kind, stage_name

_HUGE_PAGE = 2 << 20


def manifest_of(plan: Plan) -> Manifest:
    """What the runtime must know of a program compiled by a plan."""
    lengths = [stream_length(plan, worker) for worker in range(plan.workers)]
    *starts, vectors_start = accumulate(lengths, lambda end, size: _huge(end + size), initial=0)
    vectors = [
        VectorPart(op.names(), place.at, place.trip, weight_shape(op.result)[0])
        for op, place in plan.vectors.items()
    ]
    vector_bytes = sum(len(part.names) * FLOAT * padded(part.length) for part in vectors)
    rows, rows_start = tuple(plan.rows.values()), _huge(vectors_start + vector_bytes)
    sample = next(plan.ops(SampleOp))
    return Manifest(
        workers=plan.workers,
        vocabulary=plan.vocabulary,
        context=_context(plan),
        max_tokens=plan.max_tokens,
        max_outputs=MAX_OUTPUTS,
        stages=tuple(map(stage_name, plan.stages)),
        streams=tuple(part for w in range(plan.workers) for part in stream_parts(plan, w)),
        stream_starts=tuple(starts),
        stream_bytes=tuple(lengths),
        vectors=tuple(vectors),
        vectors_start=vectors_start,
        rows=rows,
        rows_start=rows_start,
        tables=tuple(_tables(plan)),
        cache=_cache(plan),
        logits_at=plan.place(sample.logits),
        logits_stride=padded(width(sample.logits)),
        hidden=plan.hidden,
        hidden_at=plan.hidden_at,
        hidden_stride=padded(plan.hidden),
        shared_bytes=plan.shared_bytes,
        private_bytes=plan.buffers.private_bytes,
        packed_bytes=rows_start + rows[-1].at + rows[-1].bytes,
        token_edges_per_step=_edges(plan),
        traced=plan.traced,
    )


def _huge(bytes: int) -> int:
    return -(-bytes // _HUGE_PAGE) * _HUGE_PAGE


def _context(plan: Plan) -> int:
    """The largest number of positions: learned ones end with their table."""
    learned = learned_positions(plan)
    most = plan.program.context_length
    return most if learned is None else min(most, learned)


def _tables(plan: Plan) -> list[RotaryTable]:
    return [_table(op) for op in plan.module.ops if isinstance(op, FrequenciesOp)]


def _table(op: FrequenciesOp) -> RotaryTable:
    short = op.values.data, op.scale.only
    if op.beyond is None or op.long_values is None or op.long_scale is None:
        return RotaryTable(*short)
    return RotaryTable(*short, op.beyond.data[0], op.long_values.data, op.long_scale.only)


def _cache(plan: Plan) -> CacheShape:
    cache = plan.cache
    return CacheShape(
        layers=cache.layers,
        heads=cache.heads,
        key_head=cache.key_head,
        value_head=cache.value_head,
        format=cache.format,
        block_bytes=cache.block_bytes,
        token_bytes=cache.token_bytes,
    )


def _edges(plan: Plan) -> int:
    """Pairs of a waiting worker and a counter that it looks at, in one step.

    Worker 0 samples the one token. After each step, all others wait for its decision.
    """
    others = plan.workers - 1
    waits = 0
    for stage in plan.stages:
        if stage.after is not None and stage.after.data:
            waiting = 1 if stage_kind(stage) == "sample" else plan.workers
            waits += plan.stage_trips(stage) * waiting
    return waits * others + others
