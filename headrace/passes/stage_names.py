"""Names of stages, in the field's terms, from what they compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from xdsl.ir import Operation

from headrace.ir.attention_ops import AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import LinearOp, SampleOp
from headrace.ir.program_ops import ReturnOp
from headrace.ir.stages import appends, outer_values, segments, stage_kind, stage_ops, storage
from headrace.ir.types import CacheType


def stage_names(stages: Sequence[StageOp]) -> Iterator[tuple[StageOp, str]]:
    """Each stage with its name; the second of a kind gets `_2`, the third `_3`."""
    counts: Counter[str] = Counter()
    for stage in stages:
        name = _kind_name(stage)
        counts[name] += 1
        yield stage, name if counts[name] == 1 else f"{name}_{counts[name]}"


def _kind_name(stage: StageOp) -> str:
    names = {"embedding": "embed", "attention": "attention", "sample": "sample"}
    if stage_kind(stage) == "rowwise":
        return "append" if appends(stage) else "merge"
    return names.get(stage_kind(stage)) or _product_name(stage)


def _product_name(stage: StageOp) -> str:
    if any(map(_is_in_append, _feature_users(stage))):
        return "qkv"
    asks = any(isinstance(user, AttentionOp) for user in _feature_users(stage))
    if appends(stage):
        return "qkv" if asks else "kv"
    if asks:
        return "q"
    if any(isinstance(user, SampleOp | ReturnOp) for user in _feature_users(stage)):
        return "head"
    if any(storage(value) == "partial" for value in outer_values(stage)):
        return "out"
    if any(len(segment.linears) > 1 for segment in segments(stage)):
        return "gate_up"
    return "down" if _follows_product(stage) else "up"


def _feature_users(stage: StageOp) -> Iterator[Operation]:
    """What uses the stage's results other than its cache."""
    results = (each for each in stage.results_ if not isinstance(each.type, CacheType))
    return (use.operation for result in results for use in result.uses)


def _is_in_append(user: Operation) -> bool:
    """Whether a value's user stands in a row-wise stage that appends."""
    stage = user.parent_op()
    return isinstance(stage, StageOp) and stage_kind(stage) == "rowwise" and appends(stage)


def _follows_product(stage: StageOp) -> bool:
    """Whether the product's input is another product's rows as they are."""
    linear = next(op for op in stage_ops(stage) if isinstance(op, LinearOp))
    source, producer = linear.input, linear.input.owner
    from_product = isinstance(producer, StageOp) and stage_kind(producer) == "product"
    return from_product and storage(source) == "shared"
