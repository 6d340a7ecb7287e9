"""The scalar operators that the region of a `map` may hold.

The interpreter (`headrace/ir/interpreter/scalars.py`) and code generation
(`headrace/codegen/maps.py`) know just these; a new one is added in all three places.
"""

from __future__ import annotations

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import f32, i1
from xdsl.ir import Attribute, Operation

#: Operators on f32 operands with one f32 result; `arith.constant` of an f32 is legal besides. A
#: comparison gives the i1 that `select` takes first.
SCALAR_OPS: tuple[type[Operation], ...] = (
    arith.AddfOp,
    arith.SubfOp,
    arith.MulfOp,
    arith.DivfOp,
    arith.NegfOp,
    arith.MaximumfOp,
    arith.MinimumfOp,
    arith.CmpfOp,
    arith.SelectOp,
    math.AbsFOp,
    math.ErfOp,
    math.ExpOp,
    math.LogOp,
    math.SqrtOp,
    math.TanhOp,
)

#: The comparisons there are, false for NaN: names → numbers of `arith.cmpf`'s predicates.
COMPARISONS = {"oeq": 1, "ogt": 2, "oge": 3, "olt": 4, "ole": 5}


def takes_and_gives(op: Operation) -> tuple[list[Attribute], list[Attribute]]:
    """The types of a scalar operator's operands and results."""
    if isinstance(op, arith.CmpfOp):
        return [f32, f32], [i1]
    if isinstance(op, arith.SelectOp):
        return [i1, f32, f32], [f32]
    return [f32] * len(op.operands), [f32] * len(op.results)
