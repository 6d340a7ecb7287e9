"""Types of the tile language: scalars of LLVM, and vectors of LANES of them."""

from __future__ import annotations

from enum import IntEnum

from llvmlite import ir

#: Lanes of a vector register in the tile language, on every target.
LANES = 16

#: Bytes of a cache line, on every target.
CACHE_LINE = 64

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
PTR = ir.PointerType()
VOID = ir.VoidType()

_BYTES: dict[ir.Type, int] = {I8: 1, I16: 2, I32: 4, I64: 8, F16: 2, F32: 4, F64: 8, PTR: 8}
_NAMES: dict[ir.Type, str] = {
    I1: "i1",
    I8: "i8",
    I16: "i16",
    I32: "i32",
    I64: "i64",
    F16: "f16",
    F32: "f32",
    F64: "f64",
}


def vector(element: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(element, lanes)


def element_of(type: ir.Type) -> ir.Type:
    """The type of a vector's lanes; a scalar's own."""
    return type.element if isinstance(type, ir.VectorType) else type


def lanes_of(type: ir.Type) -> int:
    """Lanes of a vector; 1 for a scalar."""
    return type.count if isinstance(type, ir.VectorType) else 1


def with_element(type: ir.Type, element: ir.Type) -> ir.Type:
    """The type of as many lanes of another element."""
    return vector(element, type.count) if isinstance(type, ir.VectorType) else element


def size_of(type: ir.Type) -> int:
    """Bytes of a scalar type in memory."""
    return _BYTES[type]


def is_float(type: ir.Type) -> bool:
    return isinstance(element_of(type), ir.HalfType | ir.FloatType | ir.DoubleType)


def mangle(type: ir.Type) -> str:
    """The type's part of the name of an LLVM intrinsic."""
    prefix = f"v{type.count}" if isinstance(type, ir.VectorType) else ""
    return prefix + _NAMES[element_of(type)]


class Locality(IntEnum):
    """Where prefetched data should go; the numbers are LLVM's."""

    ONCE = 0
    SECOND_LEVEL = 2
    NEAREST = 3
