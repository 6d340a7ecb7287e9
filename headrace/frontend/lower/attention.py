"""Attention: transformers' through `headrace::attention`, and PyTorch's own operator."""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import Node
from xdsl.ir import SSAValue

from headrace.frontend.emitter import Emitter
from headrace.frontend.hooks import ATTENTION
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.trace import Trace, arguments, aten, shape_of
from headrace.frontend.values import ONE, TOKENS, Axis, Value
from headrace.ir.attention_ops import AppendOp, AttentionOp

HEADS, HEAD = Axis(1), Axis(2)


@operator(ATTENTION)
def captured(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    if given["extras"]:
        raise CannotLowerError(f"attention with {', '.join(given['extras'])}")
    axes = (ONE, TOKENS, HEADS, HEAD)
    attention = _Attention(given["scale"], given["window"], axes)
    return Rule((given["query"], given["key"], given["value"]), attention.emit)


@operator(aten.scaled_dot_product_attention.default)
def scaled_dot_product(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    if given["attn_mask"] is not None or not given["is_causal"] or given["dropout_p"]:
        raise CannotLowerError(
            "attention with a mask of its own, with dropout, or that is not causal",
            "call scaled_dot_product_attention(..., is_causal=True) without attn_mask",
        )
    scale = given["scale"]
    if scale is None:
        scale = shape_of(given["query"])[-1] ** -0.5
    attention = _Attention(scale, 0, (ONE, HEADS, TOKENS, HEAD))
    return Rule((given["query"], given["key"], given["value"]), attention.emit)


@dataclass(frozen=True, slots=True)
class _Attention:
    """One layer's attention; `axes` are those of the result."""

    scale: float
    window: int
    axes: tuple[Axis, ...]

    def emit(self, emitter: Emitter, values: tuple[Value, ...]) -> Value:
        query, query_repeat = _heads(values[0])
        key, key_repeat = _heads(values[1])
        value, value_repeat = _heads(values[2])
        if query_repeat != 1 or key_repeat != value_repeat:
            raise CannotLowerError("keys and values repeated in different ways")
        cache = emitter.emit(
            AppendOp(key, value, emitter.positions, emitter.sequences, [emitter.caches]), "cache"
        )
        emitter.caches += 1
        attended = AttentionOp(
            query,
            cache,
            emitter.positions,
            emitter.sequences,
            self.scale,
            [self.window],
            values[2].features[1],
        )
        return Value(emitter.emit(attended, "attention"), self.axes)


def _heads(value: Value) -> tuple[SSAValue, int]:
    """`[1, heads, T, head]` as `[T, heads, head]`, and how often each head comes in a row."""
    if len(value.axes) == 4:
        batch, heads, tokens, head = value.axes
        if (batch, heads.index, tokens, head) == (ONE, 1, TOKENS, HEAD):
            return value.ssa, heads.repeat
    raise CannotLowerError("attention over something else than [1, heads, T, head]")
