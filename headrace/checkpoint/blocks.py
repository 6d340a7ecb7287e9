"""Exact decoding and reference encoding of the storage formats, on whole arrays of blocks.

Layouts and rounding are those of ggml's reference code (`ggml-quants.c`: `quantize_row_*_ref`,
`dequantize_row_*`): 32 values a block; in the 4-bit formats byte *i* holds value *i* in its low
and value *i + 16* in its high half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

BLOCK = 32
HALF = BLOCK // 2


def decode_f32(raw: Bytes) -> Floats:
    return raw.view("<f4")


def encode_f32(values: Floats) -> Bytes:
    return values.view(np.uint8)


def decode_f16(raw: Bytes) -> Floats:
    return raw.view("<f2").astype(np.float32)


def encode_f16(values: Floats) -> Bytes:
    with np.errstate(over="ignore"):
        return values.astype("<f2").view(np.uint8)


def decode_bf16(raw: Bytes) -> Floats:
    return (raw.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def encode_bf16(values: Floats) -> Bytes:
    """Round to nearest even; NaN stays NaN (and quiet), as `ggml_compute_fp32_to_bf16`."""
    bits = values.view(np.uint32)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    half_way = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = np.where(nan, bits | np.uint32(0x400000), bits + half_way)
    return (rounded >> np.uint32(16)).astype("<u2").view(np.uint8)


def _scales(blocks: Bytes, at: int) -> Floats:
    return blocks[..., at : at + 2].copy().view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> Floats:
    values = np.empty((*packed.shape[:-1], BLOCK), np.float32)
    values[..., :HALF] = packed & np.uint8(15)
    values[..., HALF:] = packed >> np.uint8(4)
    return values


def _pack_nibbles(values: Floats) -> Bytes:
    codes = np.clip(np.trunc(values), 0, 15).astype(np.uint8)
    return codes[..., :HALF] | (codes[..., HALF:] << np.uint8(4))


def _reciprocal(scale: Floats) -> Floats:
    zero = scale == 0
    return np.where(zero, np.float32(0), np.float32(1) / np.where(zero, np.float32(1), scale))


def _half_bytes(scale: Floats) -> Bytes:
    return encode_f16(np.ascontiguousarray(scale))


def decode_q4_0(blocks: Bytes) -> Floats:
    """`d · (q - 8)`: exact in float32, an 11-bit times a 4-bit integer."""
    values = _nibbles(blocks[..., 2:])
    values -= np.float32(8)
    values *= _scales(blocks, 0)
    return values


def encode_q4_0(values: Floats) -> Bytes:
    largest = np.abs(values).argmax(axis=-1, keepdims=True)
    scale = np.take_along_axis(values, largest, axis=-1) / np.float32(-8)
    codes = values * _reciprocal(scale) + np.float32(8.5)
    return np.concatenate([_half_bytes(scale), _pack_nibbles(codes)], axis=-1)


def decode_q4_1(blocks: Bytes) -> Floats:
    """`d · q + m`: the product is exact, so one rounding, with or without a fused multiply-add."""
    values = _nibbles(blocks[..., 4:])
    values *= _scales(blocks, 0)
    values += _scales(blocks, 2)
    return values


def encode_q4_1(values: Floats) -> Bytes:
    low = values.min(axis=-1, keepdims=True)
    scale = (values.max(axis=-1, keepdims=True) - low) / np.float32(15)
    codes = (values - low) * _reciprocal(scale) + np.float32(0.5)
    return np.concatenate([_half_bytes(scale), _half_bytes(low), _pack_nibbles(codes)], axis=-1)


def decode_q8_0(blocks: Bytes) -> Floats:
    """`d · q`: exact in float32."""
    return blocks[..., 2:].view(np.int8) * _scales(blocks, 0)


def encode_q8_0(values: Floats) -> Bytes:
    scale = np.abs(values).max(axis=-1, keepdims=True) / np.float32(127)
    scaled = values * _reciprocal(scale)
    codes = np.copysign(_round_half_up(np.abs(scaled)), scaled).astype(np.int8)
    return np.concatenate([_half_bytes(scale), codes.view(np.uint8)], axis=-1)


def _round_half_up(magnitude: Floats) -> Floats:
    """C's `roundf` for non-negative values (adding 0.5 would itself round)."""
    floor = np.floor(magnitude)
    return floor + (magnitude - floor >= np.float32(0.5))
