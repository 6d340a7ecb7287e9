"""Sums of four products of bytes, as each instruction set has them.

Every lowering gives the same integers as the plain one. They work on the parts of a vector that one
register holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.codegen.tile import I16, I32, Emitter, Value, vector
from headrace.codegen.tile.types import lanes_of

#: Codes up to here keep two products with signed bytes, and their sum, within 16 bits.
_NARROW = 127

Part = Callable[[Value, Value, Value], Value]
Lowering = Callable[[Emitter, Value, Value, Value, int], Value]


def dot_avx512vnni(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    name = "llvm.x86.avx512.vpdpbusd.512"
    return e.intrinsic(name, vector(I32), total, unsigned, signed)


def dot_avxvnni(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    def part(total: Value, unsigned: Value, signed: Value) -> Value:
        name = "llvm.x86.avx512.vpdpbusd.256"
        return e.intrinsic(name, total.type, total, unsigned, signed)

    return _in_parts(e, 8, part, total, unsigned, signed)


def dot_avx512bw(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    adds = "llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"
    return _through_words(e, adds, largest)(total, unsigned, signed)


def dot_avx2(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    adds = "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"
    return _in_parts(e, 8, _through_words(e, adds, largest), total, unsigned, signed)


def dot_ssse3(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    adds = "llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd"
    return _in_parts(e, 4, _through_words(e, adds, largest), total, unsigned, signed)


def _through_words(e: Emitter, adds: tuple[str, str], largest: int) -> Part:
    """Through 16 bits, which hold the sum of two products for codes up to 127.

    Wider codes are multiplied as 16-bit numbers, the even bytes and the odd ones.

    adds: instructions that add two products, of bytes to 16 bits and of those to 32.
    """
    of_bytes, of_words = adds

    def narrow(total: Value, unsigned: Value, signed: Value) -> Value:
        words = vector(I16, 2 * lanes_of(total.type))
        pairs = e.intrinsic(of_bytes, words, unsigned, signed)
        return total + e.intrinsic(of_words, total.type, pairs, e.const(1, words))

    def wide(total: Value, unsigned: Value, signed: Value) -> Value:
        words = vector(I16, 2 * lanes_of(total.type))
        left, right = e.bitcast(unsigned, words), e.bitcast(signed, words)
        even = e.intrinsic(of_words, total.type, left & 0xFF, e.shift_signed(right << 8, 8))
        odd = e.intrinsic(of_words, total.type, left >> 8, e.shift_signed(right, 8))
        return total + even + odd

    return narrow if largest <= _NARROW else wide


def dot_i8mm(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    def part(total: Value, unsigned: Value, signed: Value) -> Value:
        name = "llvm.aarch64.neon.usdot.v4i32.v16i8"
        return e.intrinsic(name, total.type, total, unsigned, signed)

    return _in_parts(e, 4, part, total, unsigned, signed)


def dot_dotprod(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    def part(total: Value, left: Value, right: Value) -> Value:
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        return e.intrinsic(name, total.type, total, left, right)

    return _from_signed(e, part, total, unsigned, signed, largest)


def dot_neon(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    def part(total: Value, left: Value, right: Value) -> Value:
        halves = [_long_pairs(e, left, right, first) for first in (0, 8)]
        return total + e.intrinsic("llvm.aarch64.neon.addp.v4i32", total.type, *halves)

    return _from_signed(e, part, total, unsigned, signed, largest)


def _long_pairs(e: Emitter, left: Value, right: Value, first: int) -> Value:
    """Sums of two products of signed bytes, of eight from `first` on."""
    lanes, words = range(first, first + 8), vector(I16, 8)
    operands = e.shuffle(left, left, lanes), e.shuffle(right, right, lanes)
    products = e.intrinsic("llvm.aarch64.neon.smull.v8i16", words, *operands)
    return e.intrinsic("llvm.aarch64.neon.saddlp.v4i32.v8i16", vector(I32, 4), products)


def _from_signed(
    e: Emitter,
    part: Part,
    total: Value,
    unsigned: Value,
    signed: Value,
    largest: int,
) -> Value:
    """By products of signed bytes: of codes less 128, and 128 times the sum of the others.

    Codes up to 127 are signed bytes already.
    """
    if largest <= _NARROW:
        return _in_parts(e, 4, part, total, unsigned, signed)
    sums = _in_parts(e, 4, part, e.const(0, total.type), e.const(1, signed.type), signed)
    return _in_parts(e, 4, part, total + (sums << 7), unsigned ^ 0x80, signed)


def dot_plain(e: Emitter, total: Value, unsigned: Value, signed: Value, largest: int) -> Value:
    """What LLVM compiles for any target."""
    left = e.zext(unsigned, vector(I16, 64))
    right = e.sext(signed, vector(I16, 64))
    products = e.sext(left, vector(I32, 64)) * e.sext(right, vector(I32, 64))
    for j in range(4):
        total = total + e.shuffle(products, products, range(j, 64, 4))
    return total


#: Lowerings by the feature that they need, the best first.
DOTS: Mapping[str, Lowering] = {
    "avx512vnni": dot_avx512vnni,
    "avxvnni": dot_avxvnni,
    "avx512bw": dot_avx512bw,
    "avx2": dot_avx2,
    "ssse3": dot_ssse3,
    "i8mm": dot_i8mm,
    "dotprod": dot_dotprod,
    "neon": dot_neon,
}


def _in_parts(
    e: Emitter,
    lanes: int,
    compute: Part,
    total: Value,
    unsigned: Value,
    signed: Value,
) -> Value:
    """`compute` on parts of `lanes` sums and their bytes, put together again."""
    parts = [
        compute(
            e.part(total, start, lanes),
            e.part(unsigned, 4 * start, 4 * lanes),
            e.part(signed, 4 * start, 4 * lanes),
        )
        for start in range(0, lanes_of(total.type), lanes)
    ]
    return e.joined(parts)
