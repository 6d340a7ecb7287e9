"""Element-wise arithmetic: each operator becomes a `map`; `tidy` merges chains of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.fx import Node
from xdsl.dialects.builtin import f32
from xdsl.ir import Block, Region, SSAValue

from headrace.frontend.emitter import Emitter
from headrace.frontend.match import number
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.scalars import Scalars
from headrace.frontend.trace import Trace, arguments, aten
from headrace.frontend.values import ONE, Axis, Value
from headrace.ir.model_ops import MapOp
from headrace.ir.program_ops import YieldOp

#: The arithmetic of an operator on one element: its operands, then its other arguments by name.
Formula = Callable[..., SSAValue]


def _add(scalars: Scalars, self: SSAValue, other: SSAValue, alpha: float) -> SSAValue:
    return scalars.add(self, scalars.scale(other, alpha))


def _sub(scalars: Scalars, self: SSAValue, other: SSAValue, alpha: float) -> SSAValue:
    return scalars.sub(self, scalars.scale(other, alpha))


def _rsub(scalars: Scalars, self: SSAValue, other: SSAValue, alpha: float) -> SSAValue:
    return scalars.sub(other, scalars.scale(self, alpha))


def _pow(scalars: Scalars, self: SSAValue, exponent: float) -> SSAValue:
    if exponent == 0.5:
        return scalars.sqrt(self)
    if exponent not in (2, 3, 4):
        raise CannotLowerError(f"the power {exponent:g}; 2, 3, 4 and 0.5 can be lowered")
    result = self
    for _ in range(int(exponent) - 1):
        result = scalars.mul(result, self)
    return result


def _square(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.mul(self, self)


def _reciprocal(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.div(scalars.constant(1.0), self)


def _rsqrt(scalars: Scalars, self: SSAValue) -> SSAValue:
    return _reciprocal(scalars, scalars.sqrt(self))


def _sigmoid(scalars: Scalars, self: SSAValue) -> SSAValue:
    return _reciprocal(scalars, _one_plus_exp_of_minus(scalars, self))


def _silu(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.div(self, _one_plus_exp_of_minus(scalars, self))


def _one_plus_exp_of_minus(scalars: Scalars, x: SSAValue) -> SSAValue:
    return scalars.add(scalars.constant(1.0), scalars.exp(scalars.neg(x)))


def _gelu(scalars: Scalars, self: SSAValue, approximate: str) -> SSAValue:
    if approximate == "tanh":
        cubic = scalars.scale(_pow(scalars, self, 3), 0.044715)
        argument = scalars.scale(scalars.add(self, cubic), math.sqrt(2 / math.pi))
        bent = scalars.tanh(argument)
    else:
        bent = scalars.erf(scalars.scale(self, math.sqrt(0.5)))
    half = scalars.scale(self, 0.5)
    return scalars.mul(half, scalars.add(scalars.constant(1.0), bent))


def _relu(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.maximum(self, scalars.constant(0.0))


_FORMULAS: dict[object, Formula] = {
    aten.add.Tensor: _add,
    aten.add.Scalar: _add,
    aten.sub.Tensor: _sub,
    aten.sub.Scalar: _sub,
    aten.rsub.Scalar: _rsub,
    aten.mul.Tensor: Scalars.mul,
    aten.mul.Scalar: Scalars.mul,
    aten.div.Tensor: Scalars.div,
    aten.div.Scalar: Scalars.div,
    aten.neg.default: Scalars.neg,
    aten.abs.default: Scalars.abs,
    aten.exp.default: Scalars.exp,
    aten.log.default: Scalars.log,
    aten.sqrt.default: Scalars.sqrt,
    aten.rsqrt.default: _rsqrt,
    aten.reciprocal.default: _reciprocal,
    aten.square.default: _square,
    aten.pow.Tensor_Scalar: _pow,
    aten.tanh.default: Scalars.tanh,
    aten.erf.default: Scalars.erf,
    aten.maximum.default: Scalars.maximum,
    aten.minimum.default: Scalars.minimum,
    aten.sigmoid.default: _sigmoid,
    aten.silu.default: _silu,
    aten.gelu.default: _gelu,
    aten.relu.default: _relu,
}

#: Arguments that take part in the arithmetic as elements.
_ELEMENTS = ("self", "other")


@operator(*_FORMULAS)
def elementwise(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    elements = [_operand(trace, given.pop(name)) for name in _ELEMENTS if name in given]
    inputs = tuple(dict.fromkeys(each for each in elements if isinstance(each, Node)))
    formula = _FORMULAS[node.target]

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        axes = _common_axes(values)
        block = Block(arg_types=[f32] * len(values))
        scalars = Scalars(block)
        arguments_of = dict(zip(inputs, block.args, strict=True))
        operands = [
            arguments_of[each] if isinstance(each, Node) else scalars.constant(each)
            for each in elements
        ]
        block.add_op(YieldOp([formula(scalars, *operands, **given)]))
        result = emitter.emit(MapOp([value.ssa for value in values], Region(block)))
        return Value(result, axes)

    return Rule(inputs, emit)


def _operand(trace: Trace, operand: Any) -> Node | float:
    """A number, or the node of a tensor."""
    constant = number(trace, operand)
    if constant is not None:
        return constant
    if trace.parameter(operand) is not None:
        raise CannotLowerError("arithmetic with a parameter outside of a norm or a product")
    if not trace.is_data(operand):
        raise CannotLowerError("arithmetic with a table of positions that is not a rotation")
    if not operand.meta["val"].is_floating_point():
        raise CannotLowerError("arithmetic on integers")
    return operand


def _common_axes(values: tuple[Value, ...]) -> tuple[Axis, ...]:
    """The axes of the result, if all operands lie alike in memory."""
    rank = max(len(value.axes) for value in values)
    aligned = {(ONE,) * (rank - len(value.axes)) + value.axes for value in values}
    if len(aligned) != 1 or len({value.ssa.type for value in values}) != 1:
        raise CannotLowerError("arithmetic on tensors of different layouts")
    (axes,) = aligned
    if any(axis.repeat != 1 for axis in axes):
        raise CannotLowerError("arithmetic on repeated heads")
    return axes
