"""The scalar operators that the region of a `map` may hold.

The interpreter (`headrace/ir/interpreter/scalars.py`) and code generation
(`headrace/codegen/maps.py`) know just these; a new one is added in all three places.
"""

from __future__ import annotations

from xdsl.dialects import arith, math
from xdsl.ir import Operation

#: Operators on f32 operands with one f32 result; `arith.constant` of an f32 is legal besides.
SCALAR_OPS: tuple[type[Operation], ...] = (
    arith.AddfOp,
    arith.SubfOp,
    arith.MulfOp,
    arith.DivfOp,
    arith.NegfOp,
    arith.MaximumfOp,
    arith.MinimumfOp,
    math.AbsFOp,
    math.ErfOp,
    math.ExpOp,
    math.LogOp,
    math.SqrtOp,
    math.TanhOp,
)
