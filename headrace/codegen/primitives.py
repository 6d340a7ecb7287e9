"""What machines do specially: one primitive, one meaning, several lowerings."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.codegen.dot import DOTS, dot_plain
from headrace.codegen.tile import F16, F32, I8, I16, I32, VOID, Emitter, Value, vector

#: Each of these has conversions of f16.
HALVES = frozenset({"f16c", "avx512f", "neon"})

_BITS_OF_HALF = 0x3F000000  # of the float32 0.5


def dot_u8s8(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int = 255) -> Value:
    """`total[i] += sum over j < 4 of unsigned[4i + j] * signed[4i + j]`.

    total: 16 x i32; unsigned: 64 x u8, none above `largest`; signed: 64 x s8. No saturation: the
    four products' sum fits 18 bits.
    """
    lowering = DOTS.get(dot_feature(e.features), dot_plain)
    return lowering(e, total, unsigned, signed, largest)


def dot_feature(features: frozenset[str]) -> str:
    """The feature whose instructions multiply bytes; empty if there is none."""
    return next((name for name in DOTS if name in features), "")


def broadcast_bytes(e: Emitter, pointer: Value) -> Value:
    """Four bytes of memory repeated over 64 lanes of i8."""
    return e.bitcast(e.splat(e.load(pointer, I32)), vector(I8, 64))


def look_up(e: Emitter, table: Sequence[int], codes: Value) -> Value:
    """`table[code]` of 64 x u8 codes below 16; the table has 16 entries of u8."""
    if "avx512bw" in e.features:
        return _shuffled(e, "llvm.x86.avx512.pshuf.b.512", 64, table, codes)
    if "avx2" in e.features:
        return _shuffled(e, "llvm.x86.avx2.pshuf.b", 32, table, codes)
    if "ssse3" in e.features:
        return _shuffled(e, "llvm.x86.ssse3.pshuf.b.128", 16, table, codes)
    if "neon" in e.features:
        return _shuffled(e, "llvm.aarch64.neon.tbl1.v16i8", 16, table, codes)
    found = e.const(table[0], codes.type)
    for code, entry in enumerate(table[1:], start=1):
        found = e.select(codes.equals(code), e.const(entry, codes.type), found)
    return found


def _shuffled(e: Emitter, name: str, lanes: int, table: Sequence[int], codes: Value) -> Value:
    """Entries by an instruction that looks up `lanes` codes in tables of 16."""
    entries = e.constants([*table] * (lanes // 16), I8)
    parts = (e.part(codes, first, lanes) for first in range(0, 64, lanes))
    return e.joined([e.intrinsic(name, entries.type, entries, part) for part in parts])


def half_to_float(e: Emitter, half: Value) -> Value:
    """16 x f16 bits (as i16) to 16 x float32, exact for finite values."""
    if e.features & HALVES:
        return Value(e, e.builder.fpext(e.bitcast(half, vector(F16)).raw, vector(F32)))
    bits = e.zext(half, vector(I32))
    magnitude = e.bitcast((bits & 0x7FFF) << 13, vector(F32)) * float(2.0**112)
    sign = (bits & 0x8000) << 16
    return e.bitcast(e.bitcast(magnitude, vector(I32)) | sign, vector(F32))


def float_to_half(e: Emitter, value: Value) -> Value:
    """16 x float32 to f16 bits (as i16), to nearest even; beyond the range: the largest finite."""
    bounded = e.maximum(e.minimum(value, e.like(65504.0, value.type)), e.like(-65504.0, value.type))
    if e.features & HALVES:
        return e.bitcast(Value(e, e.builder.fptrunc(bounded.raw, vector(F16))), vector(I16))
    sign = (e.bitcast(bounded, vector(I32)) >> 16) & 0x8000
    size = e.absolute(bounded)
    bits = e.bitcast(size, vector(I32))
    normal = (bits - (112 << 23) + 0xFFF + ((bits >> 13) & 1)) >> 13
    # 0.5 has the unit in the last place of subnormal halves: the sum is rounded to it.
    subnormal = e.bitcast(size + 0.5, vector(I32)) - _BITS_OF_HALF
    rounded = e.select(size < 2.0**-14, subnormal, normal)
    return e.trunc(rounded | sign, vector(I16))


def bfloat_to_float(e: Emitter, bits: Value) -> Value:
    """16 x bfloat16 bits (as i16) to 16 x float32, exact."""
    return e.bitcast(e.zext(bits, vector(I32)) << 16, vector(F32))


def pause(e: Emitter) -> None:
    """Tell the core that this is a waiting loop."""
    if e.module.triple.startswith("x86_64"):
        e.intrinsic("llvm.x86.sse2.pause", VOID)
    elif e.module.triple.startswith("aarch64"):
        e.intrinsic("llvm.aarch64.hint", VOID, e.i32(1))
