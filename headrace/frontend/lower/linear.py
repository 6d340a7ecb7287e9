"""Embedding tables and products with weights."""

from __future__ import annotations

from torch.fx import Node

from headrace.frontend.emitter import Emitter
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.trace import Trace, arguments, aten
from headrace.frontend.values import Axis, Value, natural
from headrace.ir.model_ops import EmbeddingOp, LinearOp


@operator(aten.embedding.default)
def embedding(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    table = _parameter(trace, given["weight"])
    if not trace.is_data(given["indices"]):
        raise CannotLowerError("an embedding of something else than the token ids")

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (indices,) = values
        rows = emitter.emit(EmbeddingOp(indices.ssa, emitter.weight(table)))
        return Value(rows, (*indices.axes, Axis(1)))

    return Rule((given["indices"],), emit)


@operator(aten.linear.default)
def linear(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    weight = _parameter(trace, given["weight"])
    bias = None if given["bias"] is None else _parameter(trace, given["bias"])

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (input,) = values
        if not input.is_laid_out(0, 1) or len(input.features) != 1:
            raise CannotLowerError("a product over something else than one vector a token")
        weights = [emitter.weight(name) for name in (weight, bias) if name is not None]
        return natural(emitter.emit(LinearOp(input.ssa, *weights)), len(input.axes))

    return Rule((given["input"],), emit)


def _parameter(trace: Trace, node: object) -> str:
    name = trace.parameter(node)
    if name is None:
        raise CannotLowerError(
            "its weight is computed, not a parameter", "compute the weight before the model is made"
        )
    return name
