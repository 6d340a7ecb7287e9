"""Exact decoding of ggml's K formats: 256 values a block, two levels of scales.

Layouts: `ggml-quants.c`, `dequantize_row_q*_K`. Every product of a scale, a sub-scale and a code
fits in 24 bits, so it is exact in float32 in any order; the subtraction of a minimum rounds once.
Decoders take blocks `[n, block_bytes]` and give `[n, 256]`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.formats.blocks import halves, nibbles
from headrace.formats.floats import Bytes, Floats

SUPERBLOCK = 256


def decode_q2_k(blocks: Bytes) -> Floats:
    """`d · s · q - dmin · m`, q of 2 bits; s and m of 4 bits for each 16 values."""
    scales, packed = blocks[:, :16], blocks[:, 16:80]
    codes = bit_pairs(packed).reshape(-1, 16, 16)
    values = _times(codes, halves(blocks, 80) * (scales & np.uint8(15)))
    values -= (halves(blocks, 82) * (scales >> np.uint8(4)))[..., None]
    return values.reshape(-1, SUPERBLOCK)


def decode_q3_k(blocks: Bytes) -> Floats:
    """`d · (s - 32) · (q - 4)`, q of 3 bits (the third in a plane of its own), s of 6 bits."""
    third = bit_planes(blocks[:, :32])
    third <<= np.uint8(2)
    third |= bit_pairs(blocks[:, 32:96])
    codes = third.view(np.int8)
    codes -= np.int8(4)
    scales = six_bit_scales(blocks[:, 96:108]).view(np.int8) - np.int8(32)
    return _scaled(codes, halves(blocks, 108) * scales)


def decode_q4_k(blocks: Bytes) -> Floats:
    """`d · s · q - dmin · m`, q of 4 bits; s and m of 6 bits for each 32 values."""
    codes = nibbles(blocks[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    return _scaled_from_minimum(blocks, codes)


def decode_q5_k(blocks: Bytes) -> Floats:
    """As `decode_q4_k`, with a fifth bit of each code in planes of their own."""
    codes = bit_planes(blocks[:, 16:48])
    codes <<= np.uint8(4)
    codes |= nibbles(blocks[:, 48:].reshape(-1, 4, 32)).reshape(-1, SUPERBLOCK)
    return _scaled_from_minimum(blocks, codes.reshape(-1, 8, 32))


def decode_q6_k(blocks: Bytes) -> Floats:
    """`d · s · (q - 32)`, q of 6 bits, s a signed byte for each 16 values."""
    codes = bit_pairs(blocks[:, 128:192])
    codes <<= np.uint8(4)
    codes |= nibbles(blocks[:, :128].reshape(-1, 2, 64)).reshape(-1, SUPERBLOCK)
    signed = codes.view(np.int8)
    signed -= np.int8(32)
    return _scaled(signed, halves(blocks, 208) * blocks[:, 192:208].view(np.int8))


def _scaled(codes: NDArray[np.int8], scales: Floats) -> Floats:
    """Codes `[n, 256]` times a scale for each 16, `[n, 16]`."""
    return _times(codes.reshape(-1, 16, 16), scales).reshape(-1, SUPERBLOCK)


def _times(codes: NDArray[np.integer], scales: Floats) -> Floats:
    """Codes `[n, parts, length]` times a scale for each part."""
    return np.multiply(codes, scales[..., None], dtype=np.float32)


def _scaled_from_minimum(blocks: Bytes, codes: Bytes) -> Floats:
    scales, minima = scales_and_minima(blocks[:, 4:16])
    values = _times(codes, halves(blocks, 0) * scales)
    values -= (halves(blocks, 2) * minima)[..., None]
    return values.reshape(-1, SUPERBLOCK)


def scales_and_minima(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Twice eight 6-bit numbers in 12 bytes: four low parts of each, then the nibbles of the rest,
    whose upper two bits sit above the low parts."""
    scale, minimum, rest = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    low, upper = np.uint8(0x3F), np.uint8(0x30)
    scales = [scale & low, (rest & np.uint8(15)) | ((scale >> np.uint8(2)) & upper)]
    minima = [minimum & low, (rest >> np.uint8(4)) | ((minimum >> np.uint8(2)) & upper)]
    return np.concatenate(scales, axis=1), np.concatenate(minima, axis=1)


def six_bit_scales(packed: Bytes) -> Bytes:
    """Sixteen 6-bit numbers in 12 bytes: eight bytes of low nibbles, then pairs of upper bits."""
    upper = [(packed[:, 8:12] >> np.uint8(2 * i)) & np.uint8(3) for i in range(4)]
    return nibbles(packed[:, :8]) | (np.concatenate(upper, axis=1) << np.uint8(4))


def bit_pairs(packed: Bytes) -> Bytes:
    """2-bit codes, `[n, 64]` → `[n, 256]`: of each 32 bytes the lowest pairs first."""
    source = packed.reshape(-1, 2, 32)
    codes = np.empty((len(source), 2, 4, 32), np.uint8)
    for i in range(4):
        np.right_shift(source, np.uint8(2 * i), out=codes[:, :, i])
    codes &= np.uint8(3)
    return codes.reshape(-1, SUPERBLOCK)


def bit_planes(packed: Bytes) -> Bytes:
    """Single bits, `[n, 32]` → `[n, 256]`: of the 32 bytes the lowest bits first."""
    bits = np.empty((len(packed), 8, 32), np.uint8)
    for i in range(8):
        np.right_shift(packed, np.uint8(i), out=bits[:, i])
    bits &= np.uint8(1)
    return bits.reshape(-1, SUPERBLOCK)
