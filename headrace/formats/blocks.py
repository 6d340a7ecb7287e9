"""Exact decoding and reference encoding of ggml's blocks of 32 values with one or two scales.

Layouts and rounding are those of ggml's reference code (`ggml-quants.c`: `quantize_row_*_ref`,
`dequantize_row_*`). In the 4- and 5-bit formats byte *i* holds the low bits of value *i* in its low
half and of value *i + 16* in its high half. Decoders take blocks `[n, block_bytes]` and give
`[n, 32]`; encoders the reverse.
"""

from __future__ import annotations

import numpy as np

from headrace.formats.floats import Bytes, Floats, encode_f16

BLOCK = 32
HALF = BLOCK // 2


def halves(blocks: Bytes, at: int) -> Floats:
    """The f16 number at byte `at` of each block, `[n, 1]`."""
    return blocks[:, at : at + 2].copy().view("<f2").astype(np.float32)


def nibbles(packed: Bytes) -> Bytes:
    """Codes 0 to 15: the low halves of the last axis' bytes, then the high ones."""
    width = packed.shape[-1]
    codes = np.empty((*packed.shape[:-1], 2 * width), np.uint8)
    np.bitwise_and(packed, np.uint8(15), out=codes[..., :width])
    np.right_shift(packed, np.uint8(4), out=codes[..., width:])
    return codes


def pack_nibbles(codes: Bytes) -> Bytes:
    """The reverse of `nibbles`; bits above the lower four are dropped."""
    width = codes.shape[-1] // 2
    return (codes[..., :width] & np.uint8(15)) | (codes[..., width:] << np.uint8(4))


def decode_q4_0(blocks: Bytes) -> Floats:
    """`d · (q - 8)`: exact in float32, an 11-bit times a 4-bit integer."""
    return _centred(nibbles(blocks[:, 2:]), 8, halves(blocks, 0))


def encode_q4_0(values: Floats) -> Bytes:
    scale, codes = _encode_signed(values, 8)
    return np.concatenate([scale, pack_nibbles(codes)], axis=-1)


def decode_q4_1(blocks: Bytes) -> Floats:
    """`d · q + m`: the product is exact, so one rounding, with or without a fused multiply-add."""
    return _shifted(nibbles(blocks[:, 4:]), halves(blocks, 0), halves(blocks, 2))


def encode_q4_1(values: Floats) -> Bytes:
    scales, codes = _encode_shifted(values, 15)
    return np.concatenate([scales, pack_nibbles(codes)], axis=-1)


def decode_q5_0(blocks: Bytes) -> Floats:
    """`d · (q - 16)`."""
    return _centred(fives(blocks, 2), 16, halves(blocks, 0))


def encode_q5_0(values: Floats) -> Bytes:
    scale, codes = _encode_signed(values, 16)
    return np.concatenate([scale, _fifth_bits(codes), pack_nibbles(codes)], axis=-1)


def decode_q5_1(blocks: Bytes) -> Floats:
    """`d · q + m`."""
    return _shifted(fives(blocks, 4), halves(blocks, 0), halves(blocks, 2))


def encode_q5_1(values: Floats) -> Bytes:
    scales, codes = _encode_shifted(values, 31)
    return np.concatenate([scales, _fifth_bits(codes), pack_nibbles(codes)], axis=-1)


def decode_q8_0(blocks: Bytes) -> Floats:
    """`d · q`: exact in float32."""
    return blocks[:, 2:].view(np.int8) * halves(blocks, 0)


def encode_q8_0(values: Floats) -> Bytes:
    scale = np.abs(values).max(axis=-1, keepdims=True) / np.float32(127)
    scaled = values * _reciprocal(scale)
    codes = np.copysign(_round_half_up(np.abs(scaled)), scaled).astype(np.int8)
    return np.concatenate([_half_bytes(scale), codes.view(np.uint8)], axis=-1)


def _centred(codes: Bytes, centre: int, scale: Floats) -> Floats:
    return (codes.view(np.int8) - np.int8(centre)) * scale


def _shifted(codes: Bytes, scale: Floats, shift: Floats) -> Floats:
    values = codes * scale
    values += shift
    return values


def fives(blocks: Bytes, at: int) -> Bytes:
    """Codes 0 to 31: four bytes of fifth bits (bit i of value i), then nibbles."""
    fifth = np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little")
    fifth <<= np.uint8(4)
    fifth |= nibbles(blocks[:, at + 4 :])
    return fifth


def _fifth_bits(codes: Bytes) -> Bytes:
    return np.packbits(codes >> np.uint8(4), axis=-1, bitorder="little")


def _encode_signed(values: Floats, levels: int) -> tuple[Bytes, Bytes]:
    """The value of largest magnitude becomes code 0, that is `-levels`."""
    largest = np.abs(values).argmax(axis=-1, keepdims=True)
    scale = np.take_along_axis(values, largest, axis=-1) / np.float32(-levels)
    codes = values * _reciprocal(scale) + np.float32(levels + 0.5)
    return _half_bytes(scale), _codes(codes, 2 * levels - 1)


def _encode_shifted(values: Floats, most: int) -> tuple[Bytes, Bytes]:
    low = values.min(axis=-1, keepdims=True)
    scale = (values.max(axis=-1, keepdims=True) - low) / np.float32(most)
    codes = (values - low) * _reciprocal(scale) + np.float32(0.5)
    return np.concatenate([_half_bytes(scale), _half_bytes(low)], axis=-1), _codes(codes, most)


def _codes(values: Floats, most: int) -> Bytes:
    return np.clip(np.trunc(values), 0, most).astype(np.uint8)


def _reciprocal(scale: Floats) -> Floats:
    zero = scale == 0
    return np.where(zero, np.float32(0), np.float32(1) / np.where(zero, np.float32(1), scale))


def _half_bytes(scale: Floats) -> Bytes:
    return encode_f16(np.ascontiguousarray(scale))


def _round_half_up(magnitude: Floats) -> Floats:
    """C's `roundf` for non-negative values (adding 0.5 would itself round)."""
    floor = np.floor(magnitude)
    return floor + (magnitude - floor >= np.float32(0.5))
