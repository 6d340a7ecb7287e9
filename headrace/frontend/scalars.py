"""Writes float32 arithmetic into the region of a `map`."""

from __future__ import annotations

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, f32
from xdsl.ir import Block, Operation, SSAValue


class Scalars:
    """Appends `arith` and `math` operators to a block."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def constant(self, value: float) -> SSAValue:
        return self._append(arith.ConstantOp(FloatAttr(value, f32)))

    def scale(self, x: SSAValue, factor: float) -> SSAValue:
        """`factor * x`; x itself for a factor of one."""
        return x if factor == 1 else self.mul(x, self.constant(factor))

    def add(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._append(arith.AddfOp(x, y))

    def sub(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._append(arith.SubfOp(x, y))

    def mul(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._append(arith.MulfOp(x, y))

    def div(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._append(arith.DivfOp(x, y))

    def maximum(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._append(arith.MaximumfOp(x, y))

    def minimum(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._append(arith.MinimumfOp(x, y))

    def choose(self, comparison: str, x: SSAValue, y: SSAValue, *either: SSAValue) -> SSAValue:
        """The first of two values if x compares so to y, else the second; see `COMPARISONS`."""
        return self._append(arith.SelectOp(self._append(arith.CmpfOp(x, y, comparison)), *either))

    def neg(self, x: SSAValue) -> SSAValue:
        return self._append(arith.NegfOp(x))

    def abs(self, x: SSAValue) -> SSAValue:
        return self._append(math.AbsFOp(x))

    def exp(self, x: SSAValue) -> SSAValue:
        return self._append(math.ExpOp(x))

    def log(self, x: SSAValue) -> SSAValue:
        return self._append(math.LogOp(x))

    def sqrt(self, x: SSAValue) -> SSAValue:
        return self._append(math.SqrtOp(x))

    def tanh(self, x: SSAValue) -> SSAValue:
        return self._append(math.TanhOp(x))

    def erf(self, x: SSAValue) -> SSAValue:
        return self._append(math.ErfOp(x))

    def _append(self, operation: Operation) -> SSAValue:
        self._block.add_op(operation)
        (result,) = operation.results
        return result
