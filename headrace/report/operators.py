"""What is fused in a stage, in few words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xdsl.dialects import arith, math
from xdsl.ir import BlockArgument, Operation, SSAValue

from headrace.ir.attention_ops import AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import EmbeddingOp, LinearOp, MapOp, NormOp, ReshapeOp
from headrace.ir.program_ops import WeightOp, YieldOp
from headrace.ir.shapes import features_of
from headrace.ir.stages import outer_values, sources, stage_kind, stage_ops, storage

Role = Literal["prologue", "product", "epilogue", "body"]


@dataclass(frozen=True, slots=True)
class FusedOperator:
    """One operator of a stage: its short text, and its place around the products.

    `role` is "body" in stages without products.
    """

    text: str
    role: Role


def fused_operators(stage: StageOp) -> tuple[FusedOperator, ...]:
    """The operators in order, the same text in one role once; views of a value are left out."""
    return tuple(dict.fromkeys(_operators(stage)))


def _operators(stage: StageOp) -> Iterator[FusedOperator]:
    owned = sources(stage)
    ops = [op for op in stage_ops(stage) if not isinstance(op, ReshapeOp)]
    linears = [op for op in ops if isinstance(op, LinearOp)]
    before: Role = "prologue" if linears else "body"
    for value in outer_values(stage):
        if storage(value) == "partial":
            yield FusedOperator(_merge_text(value), before)
    yield from (FusedOperator(_text(stage, op), before) for op in ops if op.results[0] not in owned)
    if any(_is_quantised(op) for op in linears):
        yield FusedOperator("quantise", "prologue")
    yield from (FusedOperator(_text(stage, op), "product") for op in linears)
    if any(op.bias for op in linears):
        yield FusedOperator("bias", "epilogue")
    for op in ops:
        if op.results[0] in owned and not isinstance(op, LinearOp):
            yield FusedOperator(_text(stage, op), "epilogue")


def _merge_text(value: SSAValue) -> str:
    """How the parts that workers have of a value become one."""
    stage = value.owner
    is_sum = isinstance(stage, StageOp) and stage_kind(stage) == "product"
    return "add partials" if is_sum else "merge partials"


def _is_quantised(linear: LinearOp) -> bool:
    return linear.activation is not None and linear.activation.data == "q8"


def _text(stage: StageOp, op: Operation) -> str:
    if isinstance(op, LinearOp):
        return weight_label(op.weight.owner)
    if isinstance(op, NormOp):
        return _norm_text(op)
    if isinstance(op, MapOp):
        return _map_text(stage, op)
    if isinstance(op, EmbeddingOp):
        return f"row of the {'positions' if _are_positions(op.ids) else 'table'}"
    if isinstance(op, AttentionOp):
        return " + ".join(["attention", *_score_texts(op)])
    return op.name.removeprefix("step.")


def weight_label(owner: object) -> str:
    """`q_proj` for `model.layers.{}.self_attn.q_proj.weight`.

    Of a part of a weight, `h.{}.attn.c_attn.weight[0:768]`, it is `c_attn[0:768]`; biases keep
    their name: `c_attn.bias`.
    """
    assert isinstance(owner, WeightOp)
    name, bracket, part = owner.weight_name.data.partition("[")
    parts = name.removesuffix(".weight").rsplit(".", 2)
    kept = parts[-2:] if parts[-1] == "bias" else parts[-1:]
    return ".".join(kept) + bracket + part


def _norm_text(op: NormOp) -> str:
    kind = "layer norm" if op.is_layer else "norm"
    return f"head {kind}" if len(features_of(op.input)) == 2 else kind


def _are_positions(ids: SSAValue) -> bool:
    """Whether these are the program's positions, its second argument."""
    return isinstance(ids, BlockArgument) and ids.index == 1


def _score_texts(op: AttentionOp) -> Iterator[str]:
    """What an attention does to its scores, beside scaling and masking them."""
    if op.softcap.only:
        yield "softcap"
    if op.slopes.data:
        yield "slopes"
    if op.sinks is not None:
        yield "sinks"


def _map_text(stage: StageOp, op: MapOp) -> str:
    """The field's name of an element-wise chain, else the arithmetic it consists of."""
    inner = [each for each in op.block.ops if not isinstance(each, arith.ConstantOp | YieldOp)]
    kinds = {type(each) for each in inner}
    if kinds == {arith.AddfOp}:
        return "residual" if set(op.inputs) & set(outer_values(stage)) else "add"
    if kinds == {arith.MulfOp}:
        return "scale" if len(op.inputs) == 1 else "multiply"
    gate = _activation(kinds)
    if gate is not None:
        return gate if len(op.inputs) == 1 else f"{gate} × up"
    return " ".join(each.name.rsplit(".", 1)[-1].removesuffix("f") for each in inner)


def _activation(kinds: set[type[Operation]]) -> str | None:
    if math.ErfOp in kinds or {math.TanhOp, arith.AddfOp} <= kinds:
        return "gelu"
    if math.TanhOp in kinds:
        return "tanh" if kinds == {math.TanhOp} else "softcap"
    if math.ExpOp in kinds and arith.DivfOp in kinds:
        return "silu"
    if kinds in ({arith.MaximumfOp}, {arith.MaximumfOp, arith.MulfOp}):
        return "relu" if len(kinds) == 1 else "relu²"
    return None
