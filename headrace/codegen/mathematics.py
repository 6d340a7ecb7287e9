"""Elementary functions on vectors of float32, the same bits on every target.

Sources: argument reduction and minimax coefficients of the Cephes library (S. L. Moshier, single
precision); erf by formula 7.1.26 of Abramowitz and Stegun (absolute error below 1.5e-7).
"""

from __future__ import annotations

from headrace.codegen.tile import F32, I32, Emitter, Value, vector

_LOG2E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_LARGEST, _SMALLEST = 88.0, -87.3


def exp(e: Emitter, x: Value) -> Value:
    """e^x within 2 units in the last place; below -87.3 zero, above 88 the largest of the range."""
    return exp_negative(e, e.minimum(x, e.like(_LARGEST, x.type)))


def exp_negative(e: Emitter, x: Value) -> Value:
    """e^x as `exp` has it, for x of at most 88."""
    type = x.type
    bounded = e.larger(x, e.like(_SMALLEST, type))
    power = e.round_even(bounded * _LOG2E)
    rest = e.fma(power, e.like(-_LN2_HIGH, type), bounded)
    rest = e.fma(power, e.like(-_LN2_LOW, type), rest)
    series = e.like(_EXP[0], type)
    for coefficient in _EXP[1:]:
        series = e.fma(series, rest, e.like(coefficient, type))
    series = e.fma(series, rest * rest, rest + 1.0)
    exponent = (e.to_int(power) + 127) << 23
    result = series * e.bitcast(exponent, vector(F32))
    return e.select(x < _SMALLEST, e.like(0.0, type), result)


def tanh(e: Emitter, x: Value) -> Value:
    """tanh: odd series near zero (Cephes), 1 - 2 / (e^2x + 1) elsewhere."""
    square = x * x
    series = e.like(-5.70498872745e-3, x.type)
    for coefficient in (2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1):
        series = e.fma(series, square, e.like(coefficient, x.type))
    near = e.fma(series * square, x, x)
    far = 1.0 - 2.0 / (exp(e, x * 2.0) + 1.0)
    return e.select(e.absolute(x) < 0.625, near, far)


def erf(e: Emitter, x: Value) -> Value:
    size = e.absolute(x)
    t = 1.0 / (e.fma(size, e.like(0.3275911, x.type), e.like(1.0, x.type)))
    series = e.like(_ERF[0], x.type)
    for coefficient in _ERF[1:]:
        series = e.fma(series, t, e.like(coefficient, x.type))
    positive = 1.0 - series * t * exp(e, size * size * -1.0)
    return e.select(x < 0.0, positive * -1.0, positive)


def log(e: Emitter, x: Value) -> Value:
    """Natural logarithm of positive normal numbers."""
    bits = e.bitcast(x, vector(I32))
    mantissa = e.bitcast((bits & 0x7FFFFF) | 0x3F000000, vector(F32))
    small = mantissa < 0.70710678118654752
    exponent = e.to_float(((bits >> 23) & 0xFF) - 126)
    power = e.select(small, exponent - 1.0, exponent)
    rest = e.select(small, mantissa + mantissa, mantissa) - 1.0
    series = e.like(_LOG[0], x.type)
    for coefficient in _LOG[1:]:
        series = e.fma(series, rest, e.like(coefficient, x.type))
    square = rest * rest
    low = e.fma(power, e.like(_LN2_LOW, x.type), series * rest * square) - square * 0.5
    return e.fma(power, e.like(_LN2_HIGH, x.type), rest + low)
