"""Which elements of a stage's values a worker computes, reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from xdsl.ir import Operation, SSAValue

from headrace.ir.attention_ops import AppendOp, AttentionOp
from headrace.ir.interpreter.arrays import Mask
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import LinearOp, MapOp, ReshapeOp
from headrace.ir.shapes import features_of
from headrace.ir.shares import bound_ranges, row_ranges, shard_of
from headrace.ir.stages import (
    access,
    has_axis,
    readers,
    segments,
    sources,
    stage_kind,
    stage_ops,
)

#: Tokens of one item of attention's work, when a step has several.
TOKEN_BLOCK = 16


def producers(stage: StageOp, workers: int) -> tuple[int, ...]:
    """The workers whose signal others wait for: those that write what others read."""
    shard = shard_of(stage)
    match shard.axis:
        case "rows" | "heads":
            return tuple(w for w in range(workers) if shard.bounds[w] < shard.bounds[w + 1])
        case "all":
            return ()
        case _:
            return tuple(range(workers))


def feature_masks(stage: StageOp, worker: int) -> dict[SSAValue, Mask]:
    """The features that a worker owns of every value of a stage's products and epilogue (by
    columns: all, but of a sum that is its own); of an attention by heads, of its results."""
    if stage_kind(stage) == "attention":
        return _attention_masks(stage, worker)
    rows = {
        linear: row_ranges(stage, segment)[worker]
        for segment in segments(stage)
        for linear in segment.linears
    }
    owned, masks = sources(stage), dict[SSAValue, Mask]()
    for op in stage_ops(stage):
        if op.results[0] in owned and not isinstance(op, AppendOp):
            masks[op.results[0]] = _result_mask(op, masks, rows)
    return masks


def _attention_masks(stage: StageOp, worker: int) -> dict[SSAValue, Mask]:
    if not has_axis(stage, "heads"):
        return {}
    results = (op.results[0] for op in stage_ops(stage))
    return {each: _bound_mask(stage, features_of(each), worker) for each in results}


def _bound_mask(stage: StageOp, features: tuple[int, ...], worker: int) -> Mask:
    """The features of a value that a worker has where the stage's bounds divide them."""
    mask = np.zeros(int(np.prod(features)), np.bool_)
    own = bound_ranges(shard_of(stage), len(mask))[worker]
    mask[own.start : own.stop] = True
    return mask.reshape(features)


def _result_mask(
    op: Operation, masks: Mapping[SSAValue, Mask], rows: Mapping[LinearOp, range]
) -> Mask:
    features = features_of(op.results[0])
    match op:
        case LinearOp():
            index = np.arange(features[0])
            return (index >= rows[op].start) & (index < rows[op].stop)
        case ReshapeOp():
            return masks[op.input].reshape(features)
        case MapOp():
            inside = [masks[value] for value in op.inputs if value in masks]
            return reduce(np.bitwise_and, inside)
        case _:  # norm of heads, rope: a head whole or not at all
            whole = np.all(masks[op.operands[0]], axis=-1)[..., None]
            return np.broadcast_to(whole, features)


def own_heads(
    stage: StageOp,
    value: SSAValue,
    masks: Mapping[SSAValue, Mask],
    tokens: int,
    worker: int,
    workers: int,
) -> Mask:
    """The [tokens, heads] of keys or values that a worker appends."""
    shape = (tokens, *features_of(value))
    mask = write_mask(stage, value, masks, shape, worker, workers)
    return np.logical_and.reduce(mask, axis=-1)


def read_mask(
    stage: StageOp,
    value: SSAValue,
    masks: Mapping[SSAValue, Mask],
    shape: tuple[int, ...],
    worker: int,
) -> Mask:
    """The elements of an outer value that a worker may see."""
    users = readers(stage, value)
    if has_axis(stage, "columns") or (has_axis(stage, "heads") and _asks(users, value)):
        return np.broadcast_to(_bound_mask(stage, shape[1:], worker), shape)
    if not has_axis(stage, "rows", "heads") or access(stage, value) == "all":
        return np.ones(shape, np.bool_)
    own = [masks[op.results[0]] for op in users]
    return np.broadcast_to(np.any(own, axis=0), shape)


def _asks(users: Sequence[Operation], value: SSAValue) -> bool:
    return all(isinstance(op, AttentionOp) and op.query is value for op in users)


def write_mask(
    stage: StageOp,
    value: SSAValue,
    masks: Mapping[SSAValue, Mask],
    shape: tuple[int, ...],
    worker: int,
    workers: int,
) -> Mask:
    """The elements of a yielded value that a worker writes."""
    mask = np.ones(shape, np.bool_)
    match shard_of(stage).axis:
        case "rows" | "heads" | "columns":
            return mask & masks[value] if value in masks else mask
        case "tokens":
            mask[np.arange(shape[0]) % workers != worker] = False
        case _:
            pass
    return mask


def attention_items(
    tokens: int, kv_heads: int, worker: int, workers: int
) -> list[tuple[int, range]]:
    """A worker's (KV head, tokens) of a step with several tokens: items dealt round-robin."""
    blocks = [
        range(first, min(first + TOKEN_BLOCK, tokens)) for first in range(0, tokens, TOKEN_BLOCK)
    ]
    items = [(head, block) for head in range(kv_heads) for block in blocks]
    return items[worker::workers]
