"""The stages of a mapped program as figures: what each reads, multiplies and waits for."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, OpResult, SSAValue

from headrace.errors import ProgramError
from headrace.formats.entries import entry_bytes
from headrace.formats.storage import storage_format
from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.mapping_ops import StageOp, StreamOp
from headrace.ir.model_ops import EmbeddingOp, LinearOp, MapOp, NormOp, SampleOp
from headrace.ir.shapes import features_of, weight_shape
from headrace.ir.stages import (
    Kind,
    outer_values,
    prologue,
    segments,
    stage_name,
    stage_ops,
    storage,
)
from headrace.ir.types import Shard, WeightType
from headrace.passes.programs import stages_of
from headrace.passes.report import StageReport, report
from headrace.report.operators import FusedOperator, fused_operators


@dataclass(frozen=True, slots=True)
class Edge:
    """A token edge: the stage waited for, and how many trips ago it ran."""

    stage: str
    distance: int


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage in figures; bytes and multiply-adds are of all its trips for one token.

    Attributes:
        trips: executions in a step. weights: storage formats of its matrices.
        worker_bytes: bytes of weights that each worker reads.
        kv_bytes: bytes of keys and values that all workers read together.
        row_values: values that each worker takes through operators on whole rows.
        value_bytes: bytes of other values that its own work reads (the logits, by sampling).
        quantised_macs, float_macs: multiply-adds on 8-bit and on float32 activations.
        unit_rows: rows of a unit of each segment.
        edges: what it waits for. exchanges: how often, in a step.
    """

    name: str
    kind: Kind
    trips: int
    operators: tuple[FusedOperator, ...]
    weights: tuple[str, ...]
    worker_bytes: tuple[int, ...]
    kv_bytes: int
    row_values: int
    value_bytes: int
    quantised_macs: int
    float_macs: int
    shard: Shard
    unit_rows: tuple[int, ...]
    edges: tuple[Edge, ...]
    exchanges: int

    @property
    def bytes(self) -> int:
        """Bytes read from memory for one token: weights, keys and values."""
        return sum(self.worker_bytes) + self.kv_bytes


def stage_rows(module: ModuleOp, kv_tokens: int) -> tuple[StageRow, ...]:
    """The stages of a mapped and packed program, in order.

    Args:
        kv_tokens: entries in the KV cache when the token comes (what attention reads).

    Raises:
        ProgramError: the program is not mapped.
    """
    streams = _streams(module)
    counted = {each.name: each for each in report(module).stages}
    return tuple(
        _row(stage, counted[stage_name(stage)], streams.get(stage_name(stage), ()), kv_tokens)
        for stage in stages_of(module)
    )


def _streams(module: ModuleOp) -> dict[str, tuple[int, ...]]:
    """Bytes a trip of each product stage, by worker."""
    found: dict[str, dict[int, int]] = {}
    for op in module.ops:
        if isinstance(op, StreamOp):
            workers = found.setdefault(op.stage.root_reference.data, {})
            workers[op.worker.data[0]] = op.bytes.data[0]
    return {stage: tuple(sizes[w] for w in sorted(sizes)) for stage, sizes in found.items()}


def _row(
    stage: StageOp, counted: StageReport, streams: tuple[int, ...], kv_tokens: int
) -> StageRow:
    trips = counted.executions
    linears = [op for op in stage_ops(stage) if isinstance(op, LinearOp)]
    macs = _product_macs(linears, trips)
    return StageRow(
        name=counted.name,
        kind=counted.kind,
        trips=trips,
        operators=fused_operators(stage),
        weights=tuple(dict.fromkeys(_format(op.weight) for op in linears)),
        worker_bytes=tuple(trips * size for size in streams) or _row_bytes(stage),
        kv_bytes=sum(_kv_bytes(op, trips, kv_tokens) for op in stage_ops(stage)),
        row_values=trips * _row_values(stage, linears),
        value_bytes=sum(_logit_bytes(op) for op in stage_ops(stage)),
        quantised_macs=macs["q8"],
        float_macs=macs["f32"] + sum(_attention_macs(op, trips, kv_tokens) for op in stage.walk()),
        shard=counted.shard,
        unit_rows=tuple(segment.unit_rows for segment in segments(stage)) if linears else (),
        edges=tuple(Edge(each.stage_name, each.distance.data) for each in stage.after or ()),
        exchanges=counted.exchanges,
    )


def _format(weight: SSAValue) -> str:
    assert isinstance(weight.type, WeightType)
    return weight.type.format.data


def _product_macs(linears: list[LinearOp], trips: int) -> dict[str, int]:
    macs = {"q8": 0, "f32": 0}
    for linear in linears:
        rows, cols = weight_shape(linear.weight)
        activation = "f32" if linear.activation is None else linear.activation.data
        macs[activation] += trips * rows * cols
    return macs


def _row_bytes(stage: StageOp) -> tuple[int, ...]:
    """One row of each embedding table, by whichever worker has the token."""
    tables = [op.table for op in stage_ops(stage) if isinstance(op, EmbeddingOp)]
    if not tables:
        return ()
    return (sum(storage_format(_format(t)).row_bytes(weight_shape(t)[1]) for t in tables),)


def _row_values(stage: StageOp, linears: list[LinearOp]) -> int:
    """Values of each operator's result in front of the products, and of the quantised input."""
    ops = [op for op in prologue(stage) if isinstance(op, NormOp | MapOp | RopeOp)]
    quantised = {op.input for op in linears if op.activation and op.activation.data == "q8"}
    merged = [value for value in outer_values(stage) if storage(value) == "partial"]
    values = [*(op.result for op in ops), *quantised, *merged]
    return sum(prod(features_of(value)) for value in values)


def _logit_bytes(op: Operation) -> int:
    return 4 * features_of(op.logits)[0] if isinstance(op, SampleOp) else 0


def _kv_bytes(op: Operation, trips: int, kv_tokens: int) -> int:
    if not isinstance(op, AttentionOp):
        return 0
    return cache_token_bytes(op.cache) * _attended(op, trips, kv_tokens)


def _attended(op: AttentionOp, trips: int, kv_tokens: int) -> int:
    """Entries that one token attends to, over all trips."""
    windows = op.windows.data * (trips if len(op.windows.data) == 1 else 1)
    return sum(min(window, kv_tokens) if window else kv_tokens for window in windows)


def _attention_macs(op: Operation, trips: int, kv_tokens: int) -> int:
    if not isinstance(op, AttentionOp):
        return 0
    heads, head = features_of(op.query)
    value_head = features_of(op.result)[1]
    return heads * (head + value_head) * _attended(op, trips, kv_tokens)


def append_of(cache: SSAValue) -> AppendOp:
    """The operator that fills a KV cache, inside of the stage that gives the cache."""
    owner = cache.owner
    if isinstance(owner, StageOp) and isinstance(cache, OpResult):
        owner = owner.yielded[cache.index].owner
    if not isinstance(owner, AppendOp):
        raise ProgramError("attention reads a cache that nothing fills", where=f"{cache}")
    return owner


def cache_token_bytes(cache: SSAValue) -> int:
    """Bytes of one token's keys and values in one layer's cache."""
    append = append_of(cache)
    heads, key_head = features_of(append.key)
    value_head = features_of(append.value)[1]
    format = "f32" if append.format is None else append.format.data
    return heads * (entry_bytes(format, key_head) + entry_bytes(format, value_head))
