"""The arithmetic of PyTorch's element-wise operators on one element."""

from __future__ import annotations

import math
from collections.abc import Callable

from xdsl.ir import SSAValue

from headrace.frontend.rules import CannotLowerError
from headrace.frontend.scalars import Scalars
from headrace.frontend.trace import aten

#: The operands of an operator, then its other arguments by their names in ATen.
Formula = Callable[..., SSAValue]

#: log(1 + e^-20) is 2e-9: beside a number of 20 or more float32 does not show it.
SOFTPLUS_THRESHOLD = 20.0


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


def _clamp(
    scalars: Scalars, self: SSAValue, min: float | None = None, max: float | None = None
) -> SSAValue:
    result = self if min is None else scalars.maximum(self, scalars.constant(min))
    return result if max is None else scalars.minimum(result, scalars.constant(max))


def _hardtanh(scalars: Scalars, self: SSAValue, min_val: float, max_val: float) -> SSAValue:
    return _clamp(scalars, self, min_val, max_val)


def _hardsigmoid(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.scale(_clamp(scalars, scalars.add(self, scalars.constant(3.0)), 0, 6), 1 / 6)


def _hardswish(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.mul(self, _hardsigmoid(scalars, self))


def _relu(scalars: Scalars, self: SSAValue) -> SSAValue:
    return _clamp(scalars, self, min=0.0)


def _relu6(scalars: Scalars, self: SSAValue) -> SSAValue:
    return _clamp(scalars, self, 0.0, 6.0)


def _leaky_relu(scalars: Scalars, self: SSAValue, negative_slope: float) -> SSAValue:
    return scalars.add(
        _relu(scalars, self), scalars.scale(_clamp(scalars, self, max=0.0), negative_slope)
    )


def _elu(
    scalars: Scalars, self: SSAValue, alpha: float, scale: float, input_scale: float
) -> SSAValue:
    negative = scalars.scale(_clamp(scalars, self, max=0.0), input_scale)
    bent = scalars.scale(_expm1(scalars, negative), alpha)
    return scalars.scale(scalars.add(_relu(scalars, self), bent), scale)


def _comparison(name: str) -> Formula:
    """One where it holds, else zero: what a boolean is among numbers."""

    def compare(scalars: Scalars, self: SSAValue, other: SSAValue) -> SSAValue:
        return scalars.choose(name, self, other, scalars.constant(1.0), scalars.constant(0.0))

    return compare


def _where(scalars: Scalars, condition: SSAValue, self: SSAValue, other: SSAValue) -> SSAValue:
    return scalars.choose("oeq", condition, scalars.constant(0.0), other, self)


def _masked_fill(scalars: Scalars, self: SSAValue, mask: SSAValue, value: float) -> SSAValue:
    return _where(scalars, mask, scalars.constant(value), self)


def _logical_not(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.sub(scalars.constant(1.0), self)


def _selu(scalars: Scalars, self: SSAValue) -> SSAValue:
    """Source: Klambauer et al. 2017, whose two numbers these are."""
    return _elu(scalars, self, 1.6732632423543772, 1.0507009873554805, 1.0)


def _softplus(
    scalars: Scalars, self: SSAValue, beta: float = 1.0, threshold: float = 20.0
) -> SSAValue:
    """`log(1 + e^(beta x)) / beta`, without a large power; PyTorch's threshold has no more say,
    since there the difference from x is below a unit in the last place for the usual 20."""
    if threshold < SOFTPLUS_THRESHOLD:
        raise CannotLowerError(f"softplus that is linear from {threshold:g} on")
    scaled = scalars.scale(self, beta)
    decayed = scalars.exp(scalars.neg(scalars.abs(scaled)))
    bent = scalars.add(_relu(scalars, scaled), _log1p(scalars, decayed))
    return scalars.scale(bent, 1 / beta)


def _log_sigmoid(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.neg(_softplus(scalars, scalars.neg(self)))


def _mish(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.mul(self, scalars.tanh(_softplus(scalars, self)))


def _expm1(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.sub(scalars.exp(self), scalars.constant(1.0))


def _log1p(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.log(scalars.add(scalars.constant(1.0), self))


def _exp2(scalars: Scalars, self: SSAValue) -> SSAValue:
    return scalars.exp(scalars.scale(self, math.log(2)))


FORMULAS: dict[object, Formula] = {
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
    aten.max.other: Scalars.maximum,
    aten.min.other: Scalars.minimum,
    aten.gt.Scalar: _comparison("ogt"),
    aten.gt.Tensor: _comparison("ogt"),
    aten.ge.Scalar: _comparison("oge"),
    aten.ge.Tensor: _comparison("oge"),
    aten.lt.Scalar: _comparison("olt"),
    aten.lt.Tensor: _comparison("olt"),
    aten.le.Scalar: _comparison("ole"),
    aten.le.Tensor: _comparison("ole"),
    aten.where.self: _where,
    aten.where.ScalarOther: _where,
    aten.where.ScalarSelf: _where,
    aten.where.Scalar: _where,
    aten.masked_fill.Scalar: _masked_fill,
    aten.logical_and.default: Scalars.minimum,
    aten.logical_or.default: Scalars.maximum,
    aten.logical_not.default: _logical_not,
    aten.bitwise_and.Tensor: Scalars.minimum,
    aten.bitwise_or.Tensor: Scalars.maximum,
    aten.bitwise_not.default: _logical_not,
    aten.__and__.Tensor: Scalars.minimum,
    aten.__or__.Tensor: Scalars.maximum,
    aten.minimum.default: Scalars.minimum,
    aten.sigmoid.default: _sigmoid,
    aten.silu.default: _silu,
    aten.gelu.default: _gelu,
    aten.relu.default: _relu,
    aten.relu6.default: _relu6,
    aten.leaky_relu.default: _leaky_relu,
    aten.elu.default: _elu,
    aten.selu.default: _selu,
    aten.softplus.default: _softplus,
    aten.log_sigmoid.default: _log_sigmoid,
    aten.mish.default: _mish,
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: _clamp,
    aten.hardtanh.default: _hardtanh,
    aten.hardsigmoid.default: _hardsigmoid,
    aten.hardswish.default: _hardswish,
    aten.expm1.default: _expm1,
    aten.log1p.default: _log1p,
    aten.exp2.default: _exp2,
}
