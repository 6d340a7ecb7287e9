"""Norms: PyTorch's own operators, and the arithmetic that models spell out.

What lies under a norm's weight and bias is recognised in `normalised.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Node

from headrace.frontend.emitter import Emitter
from headrace.frontend.lower.normalised import Kind, find_core
from headrace.frontend.match import factors, number, same_pair
from headrace.frontend.rules import CannotLowerError, Rule, operator, structure
from headrace.frontend.trace import Trace, arguments, aten, shape_of
from headrace.frontend.values import Axis, Value
from headrace.ir.norm_op import NormOp


@dataclass(frozen=True, slots=True)
class _Norm:
    """A norm of the last `width` entries; without a weight the factor is one."""

    input: Node
    kind: Kind
    epsilon: float
    weight: str | None = None
    offset: float = 0.0
    bias: str | None = None

    def rule(self) -> Rule:
        return Rule((self.input,), self._emit)

    def _emit(self, emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (input,) = values
        if input.axes[-1] != Axis(len(input.features)):
            raise CannotLowerError("a norm over something else than the last dimension")
        weight, bias = (
            None if name is None else emitter.vector(name) for name in (self.weight, self.bias)
        )
        normed = NormOp(input.ssa, weight, self.epsilon, self.offset, kind=self.kind, bias=bias)
        return Value(emitter.emit(normed), input.axes)


@operator(aten.rms_norm.default)
def rms_norm(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    epsilon = given["eps"]
    if epsilon is None:
        epsilon = torch.finfo(node.meta["val"].dtype).eps
    return _of_last_dimension(trace, given, _Norm(given["input"], "rms", epsilon)).rule()


@operator(aten.layer_norm.default)
def layer_norm(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    return _of_last_dimension(trace, given, _Norm(given["input"], "layer", given["eps"])).rule()


def _of_last_dimension(trace: Trace, given: dict[str, Any], norm: _Norm) -> _Norm:
    """The norm with the weight and bias given to PyTorch's operator."""
    if len(given["normalized_shape"]) != 1:
        raise CannotLowerError("a norm over several dimensions")
    if given["weight"] is not None:
        scaling = _scaling(trace, given["weight"])
        if scaling is None:
            raise CannotLowerError("a norm whose weight is no parameter, nor one plus a number")
        norm = replace(norm, weight=scaling[0], offset=scaling[1])
    if given.get("bias") is not None:
        bias = trace.parameter(given["bias"])
        if bias is None:
            raise CannotLowerError("a norm whose bias is no parameter")
        norm = replace(norm, bias=bias)
    return norm


@structure(aten.add.Tensor)
def spelled_out_with_bias(trace: Trace, node: Node) -> Rule | None:
    """`weight * normalised(x) + bias`."""
    for bias, product in same_pair(trace, node, aten.add.Tensor):
        name = trace.parameter(bias)
        if name is not None and (norm := _weighted(trace, product)) is not None:
            return replace(norm, bias=name).rule() if _fits(bias, norm) else None
    return None


@structure(aten.mul.Tensor, aten.div.Tensor)
def spelled_out(trace: Trace, node: Node) -> Rule | None:
    """`weight * normalised(x)`, `(1 + weight) * normalised(x)`, or `normalised(x)` alone."""
    norm = _weighted(trace, node)
    if norm is None and (core := find_core(trace, node)) is not None:
        norm = _Norm(core.input, core.kind, core.epsilon)
    return None if norm is None else norm.rule()


def _weighted(trace: Trace, node: Node) -> _Norm | None:
    for weight, normalised in factors(trace, node):
        scaling = _scaling(trace, weight)
        core = find_core(trace, normalised)
        if scaling is not None and core is not None:
            norm = _Norm(core.input, core.kind, core.epsilon, *scaling)
            return norm if _fits(weight, norm) else None
    return None


def _fits(weight: Node, norm: _Norm) -> bool:
    """Whether a weight has one entry a normalised feature (or one a feature of every head)."""
    shape, input = shape_of(weight), shape_of(norm.input)
    return len(shape) in (1, 2) and shape == input[-len(shape) :]


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
