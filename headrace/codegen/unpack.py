"""Unpacking packed weights in registers: codes, scales and minima of 32 rows by 32 columns.

See `layout.py` for where everything lies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.codegen.primitives import bfloat_to_float, half_to_float, look_up
from headrace.codegen.tile import F32, I8, I16, I32, LANES, Emitter, Value, vector
from headrace.codegen.tile.types import lanes_of
from headrace.codegen.tile_format import SCALE_BYTES, SHIFT_BYTES, TILE_COLS, TILE_ROWS, TileFormat

HALVES = TILE_ROWS // LANES
#: Groups of four columns in 32: what one instruction of four products takes.
FOURS = TILE_COLS // 4

#: What a number made by `e4m3_to_float` is to be multiplied with.
E4M3_FACTOR = 256.0

_REGISTER = 64  # bytes: four columns of 16 rows, at 8 bits


@dataclass(frozen=True, slots=True)
class Part:
    """32 rows by 32 columns of a block: where they are, and where the block is."""

    e: Emitter
    format: TileFormat
    at: Value
    block: Value
    _loaded: dict[int, Value] = field(default_factory=dict[int, Value])

    def codes(self, four: int, half: int) -> Value:
        """Unsigned codes of four columns of 16 rows, 64 x u8: byte 4 r + c is row r, column c."""
        bit, total = 0, None
        for width in self.format.planes:
            groups = 8 // width
            register, place = divmod(four, groups)
            start = bit * TILE_ROWS * TILE_COLS // 8
            raw = self._load(start + _REGISTER * (HALVES * register + half))
            bits = _moved(self.e, raw, place * width, bit, width)
            total = bits if total is None else total | bits
            bit += width
        assert total is not None
        book = self.format.codebook
        return look_up(self.e, book, total) if book else total

    def _load(self, offset: int) -> Value:
        if offset not in self._loaded:
            place = self.e.offset(self.at, offset)
            self._loaded[offset] = self.e.load(place, vector(I8, _REGISTER))
        return self._loaded[offset]

    def float_weights(self, column: int, half: int) -> Value:
        """One column of a float format, 16 rows; times `float_scale` where it has a scale."""
        e, bits = self.e, self.format.bits
        at = e.offset(self.at, (column * TILE_ROWS + half * LANES) * bits // 8)
        if bits == 32:
            return e.load(at, vector(F32))
        if bits == 8:
            (found,) = e4m3_to_float(e, e.load(at, vector(I8)))
            return found
        to_float = bfloat_to_float if self.format.name == "bf16" else half_to_float
        return to_float(e, e.load(at, vector(I16)))

    def float_scale(self, half: int) -> Value | None:
        """What the weights of a float format are to be multiplied with, 16 rows."""
        return None if self.format.scale is None else self.scale(half) * E4M3_FACTOR

    def scale(self, half: int) -> Value:
        """The block's scales of 16 rows, float32."""
        kind = self.format.scale
        assert kind is not None
        start = self.format.parts * self.format.part_bytes
        at = self.e.offset(self.block, start + half * LANES * SCALE_BYTES[kind])
        match kind:
            case "f16":
                return half_to_float(self.e, self.e.load(at, vector(I16)))
            case "bf16":
                return bfloat_to_float(self.e, self.e.load(at, vector(I16)))
            case "f32":
                return self.e.load(at, vector(F32))
            case "e8m0":
                return from_e8m0(self.e, self.e.load(at, vector(I8)))

    def minimum(self, half: int) -> Value:
        """The block's minima of 16 rows, float32, without their sign."""
        return half_to_float(self.e, self.e.load(self._shift(half), vector(I16)))

    def zero_point(self, half: int) -> Value:
        """The block's zero points of 16 rows, i32."""
        return self.e.zext(self.e.load(self._shift(half), vector(I8)), vector(I32))

    def _shift(self, half: int) -> Value:
        format = self.format
        assert format.scale is not None
        scales = format.parts * format.part_bytes + TILE_ROWS * SCALE_BYTES[format.scale]
        return self.e.offset(self.block, scales + half * LANES * SHIFT_BYTES[format.shift])

    def factors(self, half: int) -> list[Value]:
        """The groups' integer factors of 16 rows, i32, zero subtracted: scales, then minima."""
        factors = self.format.factors
        assert factors is not None
        at = self.e.offset(self.at, TILE_ROWS * TILE_COLS * self.format.bits // 8)
        match factors.bits, factors.count:
            case 8, count:
                found = [_bytes(self.e, at, TILE_ROWS * i + LANES * half) for i in range(count)]
            case 4, 4:
                found = _nibble_pairs(self.e, at, half)
            case 6, 2:
                found = _six_bit_pairs(self.e, at, half)
            case _:
                found = [_six_bits(self.e, at, half)]
        if factors.signed:
            found = [_signed(each) for each in found]
        return [each - factors.zero for each in found] if factors.zero else found


def _moved(e: Emitter, raw: Value, start: int, to: int, width: int) -> Value:
    """In each byte, the `width` bits from `start` on, moved to start at `to`; others are zero."""
    if width == 8:
        return raw
    distance = to - start
    if distance:
        wide = e.bitcast(raw, vector(I16, _REGISTER // 2))
        wide = wide << distance if distance > 0 else wide >> -distance
        raw = e.bitcast(wide, vector(I8, _REGISTER))
    return raw & (((1 << width) - 1) << to)


def _bytes(e: Emitter, at: Value, offset: int) -> Value:
    """16 unsigned bytes as i32."""
    return e.zext(e.load(e.offset(at, offset), vector(I8)), vector(I32))


def _signed(value: Value) -> Value:
    """Unsigned bytes in i32 as signed."""
    return (value ^ 0x80) - 0x80


def _nibble_pairs(e: Emitter, at: Value, half: int) -> list[Value]:
    pairs = [_bytes(e, at, TILE_ROWS * index + LANES * half) for index in range(2)]
    return [*(pair & 15 for pair in pairs), *(pair >> 4 for pair in pairs)]


def _six_bit_pairs(e: Emitter, at: Value, half: int) -> list[Value]:
    low = _bytes(e, at, LANES * half)
    high = _bytes(e, at, TILE_ROWS) >> (4 * half)
    return [(low & 15) | ((high & 3) << 4), (low >> 4) | ((high & 12) << 2)]


def _six_bits(e: Emitter, at: Value, half: int) -> Value:
    low = (_bytes(e, at, 0) >> (4 * half)) & 15
    eight = e.load(e.offset(at, LANES), vector(I8, 8))
    high = e.zext(e.shuffle(eight, eight, [lane % 8 for lane in range(LANES)]), vector(I32))
    shifts = e.constants([2 * (2 * half + lane // 8) for lane in range(LANES)], I32)
    return low | (((high >> shifts) & 3) << 4)


def from_e8m0(e: Emitter, exponents: Value) -> Value:
    """Half of 2^(x - 127): the codebook holds the doubled elements.

    The two smallest are subnormal numbers, whose bits are 2^21 and 2^22.
    """
    x = e.zext(exponents, vector(I32))
    subnormal = (x + 1) << 21
    return e.bitcast(e.select(x < 2, subnormal, (x - 1) << 23), vector(F32))


def e4m3_to_float(e: Emitter, bits: Value) -> list[Value]:
    """Finite e4m3 numbers, each divided by `E4M3_FACTOR`, as vectors of float32; exact.

    Sign, exponent and mantissa are moved into the fields of an f16, whose exponent has one bit and
    a bias of 8 more; subnormal numbers come out right too.
    """
    lanes = lanes_of(bits.type)
    fields = (e.sext(bits, vector(I16, lanes)) << 7) & 0xBFFF
    parts = [range(first, first + LANES) for first in range(0, lanes, LANES)]
    return [half_to_float(e, e.shuffle(fields, fields, part)) for part in parts]
