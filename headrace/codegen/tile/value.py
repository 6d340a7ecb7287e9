"""Values of the tile language: SSA values with operators, and mutable locals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from headrace.codegen.tile.types import is_float

if TYPE_CHECKING:
    from headrace.codegen.tile.core import Core

#: A value, block or function of llvmlite, which carries no types of its own.
Raw = Any


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An SSA value with arithmetic; ints and floats on either side become constants of its type.

    `/` on integers is signed; `//`, `%` and `>>` are unsigned; comparisons are signed, and false
    where a float is NaN.
    """

    emitter: Core
    raw: Raw

    @property
    def type(self) -> ir.Type:
        return self.raw.type

    def _binary(self, other: Value | float, float_op: str, int_op: str) -> Value:
        right = self.emitter.like(other, self.type)
        op = float_op if is_float(self.type) else int_op
        return Value(self.emitter, getattr(self.emitter.builder, op)(self.raw, right.raw))

    def __add__(self, other: Value | float) -> Value:
        return self._binary(other, "fadd", "add")

    def __sub__(self, other: Value | float) -> Value:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: float) -> Value:
        return self.emitter.like(other, self.type) - self

    def __mul__(self, other: Value | float) -> Value:
        return self._binary(other, "fmul", "mul")

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: float) -> Value:
        return self.emitter.like(other, self.type) / self

    def __floordiv__(self, other: Value | int) -> Value:
        return self._integer(other, "udiv")

    def __mod__(self, other: Value | int) -> Value:
        return self._integer(other, "urem")

    def __and__(self, other: Value | int) -> Value:
        return self._integer(other, "and_")

    def __or__(self, other: Value | int) -> Value:
        return self._integer(other, "or_")

    def __xor__(self, other: Value | int) -> Value:
        return self._integer(other, "xor")

    def __lshift__(self, other: Value | int) -> Value:
        return self._integer(other, "shl")

    def __rshift__(self, other: Value | int) -> Value:
        """Logical shift to the right."""
        return self._integer(other, "lshr")

    def _integer(self, other: Value | int, op: str) -> Value:
        return self._binary(other, op, op)

    __radd__ = __add__
    __rmul__ = __mul__

    def _compare(self, op: str, other: Value | float) -> Value:
        right = self.emitter.like(other, self.type)
        builder = self.emitter.builder
        compare = builder.fcmp_ordered if is_float(self.type) else builder.icmp_signed
        return Value(self.emitter, compare(op, self.raw, right.raw))

    def __lt__(self, other: Value | float) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Value | float) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Value | float) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Value | float) -> Value:
        return self._compare(">=", other)

    def equals(self, other: Value | float) -> Value:
        return self._compare("==", other)

    def differs(self, other: Value | float) -> Value:
        return self._compare("!=", other)


class Variable:
    """A mutable local; LLVM turns it into SSA form."""

    def __init__(self, emitter: Core, initial: Value) -> None:
        self._emitter = emitter
        with emitter.builder.goto_entry_block():
            self._slot = emitter.builder.alloca(initial.type)
        self._type = initial.type
        self.set(initial)

    def get(self) -> Value:
        return Value(self._emitter, self._emitter.builder.load(self._slot, typ=self._type))

    def set(self, value: Value | float) -> None:
        self._emitter.builder.store(self._emitter.like(value, self._type).raw, self._slot)
