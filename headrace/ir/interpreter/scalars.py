"""The regions of `map`: scalar arithmetic, done on whole arrays in float32."""

from __future__ import annotations

import math as scalar_math
from collections.abc import Callable, Mapping

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr
from xdsl.ir import Block, Operation, SSAValue

from headrace.ir.interpreter.arrays import Array, Floats
from headrace.ir.program_ops import YieldOp
from headrace.ir.scalars import COMPARISONS


def _erf(x: Array) -> Array:
    values = [scalar_math.erf(value) for value in np.ravel(x).tolist()]
    return np.asarray(values, dtype=np.float32).reshape(np.shape(x))


ELEMENTWISE: Mapping[type[Operation], Callable[..., Array]] = {
    arith.AddfOp: np.add,
    arith.SubfOp: np.subtract,
    arith.MulfOp: np.multiply,
    arith.DivfOp: np.divide,
    arith.NegfOp: np.negative,
    arith.MaximumfOp: np.maximum,
    arith.MinimumfOp: np.minimum,
    arith.SelectOp: np.where,
    math.AbsFOp: np.abs,
    math.ErfOp: _erf,
    math.ExpOp: np.exp,
    math.LogOp: np.log,
    math.SqrtOp: np.sqrt,
    math.TanhOp: np.tanh,
}


#: Comparisons by their predicate's number.
_COMPARE: Mapping[int, Callable[..., Array]] = {
    COMPARISONS["oeq"]: np.equal,
    COMPARISONS["ogt"]: np.greater,
    COMPARISONS["oge"]: np.greater_equal,
    COMPARISONS["olt"]: np.less,
    COMPARISONS["ole"]: np.less_equal,
}


def run_map(block: Block, inputs: list[Floats]) -> Floats:
    """The value that a verified map yields, on every element of `inputs` (arrays of one shape)."""
    values: dict[SSAValue, Array] = dict(zip(block.args, inputs, strict=True))
    for op in block.ops:
        if isinstance(op, YieldOp):
            return np.broadcast_to(values[op.values[0]], inputs[0].shape)
        values[op.results[0]] = _evaluate(op, [values[operand] for operand in op.operands])
    raise AssertionError("a verified map ends in step.yield")


def _evaluate(op: Operation, operands: list[Array]) -> Array:
    if isinstance(op, arith.ConstantOp) and isinstance(op.value, FloatAttr):
        return np.asarray(op.value.value.data, dtype=np.float32)
    if isinstance(op, arith.CmpfOp):
        return _COMPARE[op.predicate.value.data](*operands)
    return ELEMENTWISE[type(op)](*operands)
