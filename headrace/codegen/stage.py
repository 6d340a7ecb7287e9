"""The code of one stage, by its kind."""

from __future__ import annotations

from xdsl.dialects.builtin import TensorType

from headrace.codegen.attention import attention_share, prefetch_context
from headrace.codegen.attention_heads import attention_of_heads
from headrace.codegen.places import Places
from headrace.codegen.product_code import emit_product_stage
from headrace.codegen.row_code import RowCode
from headrace.codegen.sampling import sample_token
from headrace.codegen.sequences import SequenceRecord
from headrace.codegen.tile import I32, Value
from headrace.ir.attention_ops import AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.shares import shard_of
from headrace.ir.stages import append_of, has_axis, outer_values, prologue, stage_kind


def emit_stage(places: Places) -> None:
    """Emit a worker's share of one stage."""
    match stage_kind(places.stage):
        case "product":
            emit_product_stage(places)
        case "attention":
            _emit_attention(places)
        case "embedding" | "rowwise":
            _emit_rows(places)
        case "sample":
            _emit_sample(places)


def _emit_rows(places: Places) -> None:
    """Every worker all rows for itself, or the rows of its own tokens."""
    assert places.stage.shard is not None
    private = places.stage.shard.data.axis == "all"
    first = places.e.i64(0) if private else places.frame.get("worker")
    rows = RowCode(places, prologue(places.stage))
    with places.e.range(first, places.row_count, 1 if private else places.plan.workers) as row:
        rows.emit(row)


def emit_before_wait(places: Places) -> None:
    """What a worker can do for a stage before the stage's tokens are there."""
    if has_axis(places.stage, "context"):
        e, plan, op = places.e, places.plan, _attention(places.stage)
        ask = prefetch_context(e.module, e.features, plan.attention_shape(op), plan.workers)
        e.call(ask, places.frame.base, *_layer_and_window(places, op))


def _attention(stage: StageOp) -> AttentionOp:
    return next(op for op in prologue(stage) if isinstance(op, AttentionOp))


def _layer_and_window(places: Places, op: AttentionOp) -> tuple[Value, Value]:
    """This trip's number of the KV cache, and the attention's window."""
    layer = places.by_trip(append_of(op).layers.data, "cache_layers")
    return layer, places.by_trip(op.windows.data, "windows")


def _emit_attention(places: Places) -> None:
    e, plan, op = places.e, places.plan, _attention(places.stage)
    by_heads, shape = has_axis(places.stage, "heads"), plan.attention_shape(op)
    if by_heads:
        share = attention_of_heads(e.module, e.features, shape, plan.workers)
    else:
        streamed = plan.takes_blocks(places.stage)
        share = attention_share(e.module, e.features, shape, plan.workers, streamed)
    query, out = places.buffer(op.query), places.buffer(places.stage.results_[0])
    sinks = () if op.sinks is None else (places.vector_weight(op.sinks),)
    heads = _own_heads(places) if by_heads else ()
    e.call(share, places.frame.base, *_layer_and_window(places, op), *heads, query, out, *sinks)


def _own_heads(places: Places) -> tuple[Value, Value]:
    """The first of the worker's KV heads, and the one after its last."""
    bounds = shard_of(places.stage).bounds
    return places.by_worker(bounds[:-1], "first"), places.by_worker(bounds[1:], "last")


def _emit_sample(places: Places) -> None:
    """Workers sample the wanted rows in turn, each for its own sequence."""
    e, frame = places.e, places.frame
    values = outer_values(places.stage)
    (logits,) = (value for value in values if isinstance(value.type, TensorType))
    kernel = sample_token(e.module, e.features, places.plan.vocabulary)
    rows = places.rows_of(logits)
    weights = places.private(places.plan.scratch.weights)
    with e.range(frame.get("worker"), places.row_count, places.plan.workers) as output:
        row = frame.output_row(output)
        record = SequenceRecord.of_slot(frame, frame.slot(row))
        token = e.call(kernel, record.base, frame.position(row), rows(output), weights)
        e.store(e.trunc(token, I32), e.offset(frame.get("sampled"), output, I32))
