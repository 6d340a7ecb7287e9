"""Numbers of KV entries in their formats: `headrace.formats.entries` in registers."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.primitives import bfloat_to_float, float_to_half, half_to_float
from headrace.codegen.tile import F32, I8, I16, I32, Emitter, Value, vector

#: How a number is held in memory.
ELEMENTS: dict[str, ir.Type] = {"f32": F32, "f16": I16, "bf16": I16, "q8": I8}


def decode(e: Emitter, stored: Value, format: str) -> Value:
    """16 numbers as float32; of q8 the codes."""
    match format:
        case "f16":
            return half_to_float(e, stored)
        case "bf16":
            return bfloat_to_float(e, stored)
        case "q8":
            return e.to_float(e.sext(stored, vector(I32)))
        case _:
            return stored


def encode(e: Emitter, value: Value, format: str, inverse: Value | None) -> Value:
    """16 x float32 in a format; inverse: 1 / scale, for q8."""
    match format:
        case "f16":
            return float_to_half(e, value)
        case "bf16":
            return _float_to_bfloat(e, value)
        case "q8":
            assert inverse is not None
            code = e.round_even(value * e.splat(inverse))
            code = e.maximum(e.minimum(code, e.like(127.0, code.type)), e.like(-127.0, code.type))
            return e.trunc(e.to_int(code), vector(I8))
        case _:
            return value


def scale_of(e: Emitter, source: Value, size: int) -> tuple[Value, Value]:
    """The scale of a row of q8 (f16 as i16), and its inverse as float32."""
    largest = e.variable(e.const(0.0, vector(F32)))
    for index, mask in e.lanes(size):
        own = e.absolute(e.load(e.offset(source, index, F32), vector(F32), mask))
        largest.set(e.maximum(largest.get(), own))
    stored = float_to_half(e, e.splat(e.reduce_max(largest.get()) / 127.0))
    scale = e.lane(half_to_float(e, stored), 0)
    return e.lane(stored, 0), e.select(scale > 0.0, 1.0 / scale, 0.0)


def _float_to_bfloat(e: Emitter, value: Value) -> Value:
    """To nearest even; NaN stays NaN."""
    bits = e.bitcast(value, vector(I32))
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return e.trunc(e.select(value.equals(value), rounded, 0x7FC0), vector(I16))
