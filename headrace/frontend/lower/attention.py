"""Attention: transformers' through `headrace::attention`, PyTorch's own operator, written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.fx import Node
from xdsl.ir import SSAValue

from headrace.frontend.emitter import Emitter
from headrace.frontend.hooks import ATTENTION
from headrace.frontend.lower.masks import masked_scores
from headrace.frontend.lower.scores import Scores
from headrace.frontend.lower.views import reshaped
from headrace.frontend.lower.written_out import find_written_out
from headrace.frontend.rules import CannotLowerError, Rule, operator, structure
from headrace.frontend.trace import Trace, arguments, aten, shape_of
from headrace.frontend.values import ONE, TOKENS, Axis, Value
from headrace.ir.attention_ops import AppendOp, AttentionOp

HEADS, HEAD = Axis(1), Axis(2)


@operator(ATTENTION)
def captured(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    inputs = given["query"], given["key"], given["value"]
    try:
        if given["extras"]:
            raise CannotLowerError(f"attention with {', '.join(given['extras'])}")
        scores = Scores(given["scale"], given["window"], given["softcap"])
        if given["mask"] is not None:
            scores = masked_scores(trace, given["mask"], scores)
        sinks = _sinks(trace, given["sinks"])
    except CannotLowerError as error:
        error.inputs = inputs
        raise
    return Rule(inputs, _Attention(scores, (ONE, TOKENS, HEADS, HEAD), sinks).emit)


def _sinks(trace: Trace, node: Node | None) -> str | None:
    name = None if node is None else trace.parameter(node)
    if node is not None and name is None:
        raise CannotLowerError("attention with sinks that are computed, not a parameter")
    return name


@operator(aten.scaled_dot_product_attention.default)
def scaled_dot_product(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    inputs = given["query"], given["key"], given["value"]
    try:
        scores = _scaled_dot_product_scores(trace, given)
    except CannotLowerError as error:
        error.inputs = inputs
        raise
    return Rule(inputs, _Attention(scores, (ONE, HEADS, TOKENS, HEAD)).emit)


def _scaled_dot_product_scores(trace: Trace, given: dict[str, Any]) -> Scores:
    if given["dropout_p"]:
        raise CannotLowerError("attention with dropout", "call module.eval() first")
    scale = given["scale"]
    scores = Scores(shape_of(given["query"])[-1] ** -0.5 if scale is None else scale)
    if given["attn_mask"] is not None:
        return masked_scores(trace, given["attn_mask"], scores)
    if not given["is_causal"]:
        raise CannotLowerError(
            "attention that is not causal",
            "call scaled_dot_product_attention(..., is_causal=True)",
        )
    return scores


@structure(aten.matmul.default, aten.bmm.default)
def written_out(trace: Trace, node: Node) -> Rule | None:
    """`softmax(scores(query key^T)) value`."""
    found = find_written_out(trace, node)
    if found is None:
        return None
    inputs = found.query, found.key, found.value
    try:
        scores = found.scores(trace)
    except CannotLowerError as error:
        error.inputs = inputs
        raise
    leading = (ONE,) * (len(shape_of(node)) - 3)
    attention = _Attention(scores, (*leading, HEADS, TOKENS, HEAD), transposed_keys=True)
    return Rule(inputs, attention.emit)


@dataclass(frozen=True, slots=True)
class _Attention:
    """One layer's attention; `axes` are those of the result."""

    scores: Scores
    axes: tuple[Axis, ...]
    sinks: str | None = None
    transposed_keys: bool = False

    def emit(self, emitter: Emitter, values: tuple[Value, ...]) -> Value:
        keys = _transposed(values[1]) if self.transposed_keys else values[1]
        query, query_repeat = _heads(emitter, values[0])
        key, key_repeat = _heads(emitter, keys)
        value, value_repeat = _heads(emitter, values[2])
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
            self.scores.scale,
            [self.scores.window],
            values[2].features[-1],
            softcap=self.scores.softcap,
            slopes=self.scores.slopes,
            sinks=None if self.sinks is None else emitter.vector(self.sinks),
        )
        return Value(emitter.emit(attended, "attention"), self.axes)


def _transposed(value: Value) -> Value:
    *others, first, second = value.axes
    return Value(value.source, (*others, second, first))


def _heads(emitter: Emitter, value: Value) -> tuple[SSAValue, int]:
    """`[..., heads, T, head]` as `[T, heads, head]`, and how often each head comes in a row."""
    *leading, heads, tokens, head = (ONE, *value.axes) if len(value.axes) == 2 else value.axes
    if tokens == TOKENS and all(each == ONE for each in leading):
        if (heads.index, head) == (1, HEAD):
            return value.ssa, heads.repeat
        if (heads.index, head) == (None, Axis(1)):
            one = Value(reshaped(emitter, value, (1, *value.features)), ())
            return one.ssa, heads.repeat
    raise CannotLowerError("attention over something else than [1, heads, T, head]")
