"""Exact decoding of formats whose 4-bit codes index a table of 16 numbers, times a scale.

IQ4_NL and IQ4_XS as in ggml (`dequantize_row_iq4_*`); MXFP4 as ggml stores the OCP format
(one E8M0 exponent, then 32 E2M1 numbers). Decoders take blocks `[n, block_bytes]`.
"""

from __future__ import annotations

import numpy as np

from headrace.formats.blocks import halves, nibbles, pack_nibbles
from headrace.formats.floats import Bytes, Floats

IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
E2M1_DOUBLED = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

_IQ4 = np.array(IQ4, np.int8)
_E2M1 = np.array(E2M1_DOUBLED, np.int8)


def decode_iq4_nl(blocks: Bytes) -> Floats:
    """`d · table[q]`, 32 values a block."""
    return np.multiply(_IQ4[nibbles(blocks[:, 2:])], halves(blocks, 0), dtype=np.float32)


def decode_iq4_xs(blocks: Bytes) -> Floats:
    """`d · (s - 32) · table[q]`, 256 values a block, s of 6 bits for each 32."""
    codes = nibbles(blocks[:, 8:].reshape(-1, 8, 16))
    scales = halves(blocks, 0) * (iq4_xs_scales(blocks).view(np.int8) - np.int8(32))
    return np.multiply(_IQ4[codes], scales[..., None], dtype=np.float32).reshape(-1, 256)


def iq4_xs_scales(blocks: Bytes) -> Bytes:
    """Eight 6-bit numbers: pairs of upper bits in two bytes, then nibbles in order."""
    scales = np.empty((len(blocks), 8), np.uint8)
    for i in range(8):
        upper = (blocks[:, 2 + i // 4] >> np.uint8(2 * (i % 4))) & np.uint8(3)
        lower = (blocks[:, 4 + i // 2] >> np.uint8(4 * (i % 2))) & np.uint8(15)
        scales[:, i] = lower | (upper << np.uint8(4))
    return scales


def decode_mxfp4(blocks: Bytes) -> Floats:
    """`2^(e - 127) · table[q] / 2`, 32 values a block."""
    return _E2M1[nibbles(blocks[:, 1:])] * half_e8m0(blocks[:, :1])


def encode_mxfp4(values: Floats) -> Bytes:
    """The exponent that puts the largest magnitude in E2M1's top binade, then the nearest number.

    As `quantize_row_mxfp4_ref`.
    """
    largest = np.abs(values).max(axis=-1, keepdims=True)
    some = largest > 0
    exponent = np.floor(np.log2(np.where(some, largest, np.float32(1)))) + np.float32(125)
    code = np.where(some, np.maximum(exponent, 0), np.float32(0)).astype(np.uint8)
    distance = np.abs(half_e8m0(code)[..., None] * _E2M1 - values[..., None])
    return np.concatenate([code, pack_nibbles(distance.argmin(axis=-1).astype(np.uint8))], axis=-1)


def half_e8m0(exponent: Bytes) -> Floats:
    """`2^(e - 128)`: half of the E8M0 number, subnormal for e < 2 (`ggml_e8m0_to_fp32_half`)."""
    wide = exponent.astype(np.uint32)
    small = np.uint32(0x00200000) << np.minimum(wide, np.uint32(1))
    normal = (np.maximum(wide, np.uint32(1)) - np.uint32(1)) << np.uint32(23)
    return np.where(wide < 2, small, normal).astype(np.uint32).view(np.float32)
