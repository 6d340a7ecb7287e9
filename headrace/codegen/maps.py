"""The region of a `map` on vectors: scalar operators of the program as code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr
from xdsl.ir import Block, Operation, SSAValue

from headrace.codegen import mathematics
from headrace.codegen.tile import F32, Emitter, Value, vector
from headrace.ir.program_ops import YieldOp
from headrace.ir.scalars import COMPARISONS

Lowering = Callable[[Emitter, Sequence[Value]], Value]

LOWERINGS: Mapping[type[Operation], Lowering] = {
    arith.AddfOp: lambda e, v: v[0] + v[1],
    arith.SubfOp: lambda e, v: v[0] - v[1],
    arith.MulfOp: lambda e, v: v[0] * v[1],
    arith.DivfOp: lambda e, v: v[0] / v[1],
    arith.NegfOp: lambda e, v: v[0] * -1.0,
    arith.MaximumfOp: lambda e, v: e.maximum(v[0], v[1]),
    arith.MinimumfOp: lambda e, v: e.minimum(v[0], v[1]),
    arith.SelectOp: lambda e, v: e.select(v[0], v[1], v[2]),
    math.ExpOp: lambda e, v: mathematics.exp(e, v[0]),
    math.LogOp: lambda e, v: mathematics.log(e, v[0]),
    math.TanhOp: lambda e, v: mathematics.tanh(e, v[0]),
    math.ErfOp: lambda e, v: mathematics.erf(e, v[0]),
    math.SqrtOp: lambda e, v: e.square_root(v[0]),
    math.AbsFOp: lambda e, v: e.absolute(v[0]),
}


#: Comparisons by their predicate's number.
_COMPARE: Mapping[int, Callable[[Value, Value], Value]] = {
    COMPARISONS["oeq"]: lambda x, y: x.equals(y),
    COMPARISONS["ogt"]: lambda x, y: x > y,
    COMPARISONS["oge"]: lambda x, y: x >= y,
    COMPARISONS["olt"]: lambda x, y: x < y,
    COMPARISONS["ole"]: lambda x, y: x <= y,
}


def emit_map(e: Emitter, block: Block, inputs: Sequence[Value]) -> Value:
    """What the region of a verified map yields for vectors of inputs."""
    values: dict[SSAValue, Value] = dict(zip(block.args, inputs, strict=True))
    for op in block.ops:
        if isinstance(op, YieldOp):
            return values[op.values[0]]
        operands = [values[operand] for operand in op.operands]
        values[op.results[0]] = _emit(e, op, operands)
    raise AssertionError("a verified map ends in step.yield")


def _emit(e: Emitter, op: Operation, operands: Sequence[Value]) -> Value:
    if isinstance(op, arith.ConstantOp):
        assert isinstance(op.value, FloatAttr)
        return e.const(op.value.value.data, vector(F32))
    if isinstance(op, arith.CmpfOp):
        return _COMPARE[op.predicate.value.data](*operands)
    return LOWERINGS[type(op)](e, operands)
