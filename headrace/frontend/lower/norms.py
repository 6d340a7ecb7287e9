"""Root-mean-square norms: PyTorch's own operator, and the arithmetic that models spell out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from headrace.frontend.emitter import Emitter
from headrace.frontend.match import factors, is_last, number, same_pair, square_of
from headrace.frontend.rules import CannotLowerError, Rule, operator, structure
from headrace.frontend.trace import Trace, arguments, aten, is_call
from headrace.frontend.values import Axis, Value
from headrace.ir.model_ops import NormOp


@dataclass(frozen=True, slots=True)
class _Norm:
    input: Node
    weight: str
    epsilon: float
    offset: float = 0.0

    def rule(self) -> Rule:
        return Rule((self.input,), self._emit)

    def _emit(self, emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (input,) = values
        if input.axes[-1] != Axis(len(input.features)):
            raise CannotLowerError("a norm over something else than the last dimension")
        weight = emitter.weight(self.weight)
        normed = emitter.emit(NormOp(input.ssa, weight, self.epsilon, self.offset))
        return Value(normed, input.axes)


@operator(aten.rms_norm.default)
def rms_norm(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    weight = trace.parameter(given["weight"])
    if weight is None or len(given["normalized_shape"]) != 1:
        raise CannotLowerError("only norms of the last dimension with a weight can be lowered")
    epsilon = given["eps"]
    if epsilon is None:
        epsilon = torch.finfo(node.meta["val"].dtype).eps
    return _Norm(given["input"], weight, epsilon).rule()


@structure(aten.mul.Tensor)
def spelled_out(trace: Trace, node: Node) -> Rule | None:
    """`weight * normalised(x)`, or `(1 + weight) * normalised(x)`."""
    for weight, normalised in factors(trace, node):
        scaling = _scaling(trace, weight)
        core = _normalised(trace, normalised)
        if scaling is not None and core is not None:
            name, offset = scaling
            input, epsilon = core
            return _Norm(input, name, epsilon, offset).rule()
    return None


def _scaling(trace: Trace, node: Node) -> tuple[str, float] | None:
    """The weight and the constant added to it."""
    weight = trace.parameter(node)
    if weight is not None:
        return weight, 0.0
    for constant, other in same_pair(trace, node, aten.add.Tensor):
        weight, offset = trace.parameter(other), number(trace, constant)
        if weight is not None and offset is not None:
            return weight, offset
    return None


def _normalised(trace: Trace, node: Node) -> tuple[Node, float] | None:
    """x and epsilon of `x * rsqrt(mean(x^2) + epsilon)` or `x / sqrt(mean(x^2) + epsilon)`."""
    for input, inverse in _quotients(trace, node):
        for mean, constant in same_pair(trace, inverse, aten.add.Tensor):
            epsilon = number(trace, constant)
            if epsilon is not None and _mean_square_of(trace, mean) is input:
                return input, epsilon
    return None


def _quotients(trace: Trace, node: Node) -> list[tuple[Node, Node]]:
    """(x, y) of x / sqrt(y)."""
    found = [
        (x, trace.source(root.args[0]))
        for x, root in factors(trace, node)
        if is_call(root, aten.rsqrt.default)
    ]
    if is_call(node, aten.div.Tensor):
        x, root = (trace.source(argument) for argument in node.args)
        if is_call(root, aten.sqrt.default):
            found.append((x, trace.source(root.args[0])))
    return found


def _mean_square_of(trace: Trace, node: object) -> Node | None:
    """x of mean(x^2) over the last dimension, which is kept."""
    if not is_call(node, aten.mean.dim):
        return None
    given = arguments(node)
    squared = trace.source(given["self"])
    (dim, *others) = given["dim"]
    if others or not given["keepdim"] or not is_last(squared, dim):
        return None
    return square_of(trace, squared)
