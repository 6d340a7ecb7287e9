"""Arithmetic that is no operator: fused, chosen, reduced over lanes."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from headrace.codegen.tile.core import Core
from headrace.codegen.tile.types import is_float, lanes_of, mangle
from headrace.codegen.tile.value import Value


class Arithmetic(Core):
    """Element-wise functions and reductions."""

    def select(self, condition: Value, then: Value, otherwise: Value | float) -> Value:
        other = self.like(otherwise, then.type)
        return Value(self, self.builder.select(condition.raw, then.raw, other.raw))

    def both(self, left: Value, right: Value) -> Value:
        return Value(self, self.builder.and_(left.raw, right.raw))

    def shift_signed(self, value: Value, bits: int) -> Value:
        """Shift to the right; the sign moves in."""
        return Value(self, self.builder.ashr(value.raw, self.like(bits, value.type).raw))

    def _same(self, name: str, *arguments: Value) -> Value:
        type = arguments[0].type
        return self.intrinsic(f"llvm.{name}.{mangle(type)}", type, *arguments)

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """left * right + addend, rounded once."""
        return self._same("fma", left, right, addend)

    def maximum(self, left: Value, right: Value) -> Value:
        """The larger; of a number and NaN the number."""
        return self._same("maxnum" if is_float(left.type) else "smax", left, right)

    def minimum(self, left: Value, right: Value) -> Value:
        """The smaller; of a number and NaN the number."""
        return self._same("minnum" if is_float(left.type) else "smin", left, right)

    def larger(self, left: Value, right: Value) -> Value:
        """The larger of two numbers; the right one where either is NaN: one instruction on x86."""
        return self.select(left > right, left, right)

    def any(self, condition: Value) -> Value:
        """Whether a condition holds in any lane."""
        lanes = lanes_of(condition.type)
        raw = self.builder.bitcast(condition.raw, ir.IntType(lanes))
        return Value(self, raw).differs(0)

    def absolute(self, value: Value) -> Value:
        return self._same("fabs", value)

    def square_root(self, value: Value) -> Value:
        return self._same("sqrt", value)

    def round_even(self, value: Value) -> Value:
        return self._same("roundeven", value)

    def reduce_add(self, value: Value) -> Value:
        """Sum over lanes, by halves, in an order that does not depend on the target."""
        return self._reduce(value, lambda left, right: left + right)

    def reduce_max(self, value: Value) -> Value:
        return self._reduce(value, self.maximum)

    def reduce_min(self, value: Value) -> Value:
        return self._reduce(value, self.minimum)

    def _reduce(self, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
        lanes = lanes_of(value.type)
        while lanes > 1:
            lanes //= 2
            low = self.shuffle(value, value, range(lanes))
            high = self.shuffle(value, value, range(lanes, 2 * lanes))
            value = combine(low, high)
        return self.lane(value, 0)
