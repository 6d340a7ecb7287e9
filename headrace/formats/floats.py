"""Decoding and encoding of plain floating-point formats, value by value.

Input and output of a decoder: bytes `[..., width * n]` → float32 `[..., n]`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


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
    bits = raw.view("<u2").astype(np.uint32)
    bits <<= np.uint32(16)
    return bits.view(np.float32)


def encode_bf16(values: Floats) -> Bytes:
    """Round to nearest even; NaN stays NaN (and quiet), as `ggml_compute_fp32_to_bf16`."""
    bits = values.view(np.uint32)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    half_way = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = np.where(nan, bits | np.uint32(0x400000), bits + half_way)
    return (rounded >> np.uint32(16)).astype("<u2").view(np.uint8)


def decode_e4m3(raw: Bytes) -> Floats:
    """FP8 E4M3 without infinities (`torch.float8_e4m3fn`): 0x7F and 0xFF are NaN."""
    return _e4m3_values()[raw]


@cache
def _e4m3_values() -> Floats:
    codes = np.arange(256)
    exponent, mantissa = (codes >> 3) & 15, codes & 7
    normal = np.ldexp(1 + mantissa / 8, exponent - 7)
    magnitude = np.where(exponent == 0, np.ldexp(mantissa / 8, -6), normal)
    magnitude[(codes & 127) == 127] = np.nan
    return np.copysign(magnitude, np.where(codes < 128, 1.0, -1.0)).astype(np.float32)
