"""What a block of an integer format holds, undecoded: codes, factors of groups, scale, shift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headrace.errors import UnsupportedFormatError
from headrace.formats.blocks import fives, nibbles
from headrace.formats.codebooks import iq4_xs_scales
from headrace.formats.floats import Bytes
from headrace.formats.groups import GroupLayout, parse_group
from headrace.formats.superblocks import (
    SUPERBLOCK,
    bit_pairs,
    bit_planes,
    scales_and_minima,
    six_bit_scales,
)

_PARTS = SUPERBLOCK // 32


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of n blocks.

    Attributes:
        codes: [n, block], one byte a value, as stored: with the zero, before any codebook.
        scale: [n, bytes], the block's scale as stored.
        shift: [n, bytes], its minimum or zero point as stored; 0 bytes without one.
        factors: [n, parts, count], of each 32 columns the integer factors as stored: scales of
            its groups, then minima; count is 0 without any.
    """

    codes: Bytes
    scale: Bytes
    shift: Bytes
    factors: Bytes


def fields(format: str, blocks: Bytes) -> Fields:
    """The fields of blocks `[n, block_bytes]` of an integer format.

    Raises:
        UnsupportedFormatError: the format's values are no integers with scales.
    """
    if format in _FIELDS:
        return _FIELDS[format](blocks)
    layout = parse_group(format)
    if layout is None or layout.floating:
        raise UnsupportedFormatError(f"{format} has no integer codes")
    return _group(layout, blocks)


def _group(layout: GroupLayout, blocks: Bytes) -> Fields:
    packed = blocks[:, layout.codes_at :]
    codes = nibbles(packed) if layout.bits == 4 else packed
    scale = blocks[:, : layout.scale_bytes]
    return _plain(codes, scale, blocks[:, layout.scale_bytes : layout.codes_at])


def _plain(codes: Bytes, scale: Bytes, shift: Bytes | None = None) -> Fields:
    none = np.empty((len(codes), 0), np.uint8)
    factors = np.empty((len(codes), codes.shape[1] // 32, 0), np.uint8)
    return Fields(codes, scale, none if shift is None else shift, factors)


def _grouped(codes: Bytes, scale: Bytes, shift: Bytes | None, *factors: Bytes) -> Fields:
    """factors: of all parts, `[n, parts * count]` each."""
    plain = _plain(codes, scale, shift)
    parts = [each.reshape(len(codes), _PARTS, -1) for each in factors]
    return Fields(plain.codes, plain.scale, plain.shift, np.concatenate(parts, axis=2))


def _q8_0(blocks: Bytes) -> Fields:
    """Its signed codes become unsigned, with a zero of 128."""
    return _plain(blocks[:, 2:] ^ np.uint8(0x80), blocks[:, :2])


def _q2_k(blocks: Bytes) -> Fields:
    factors = blocks[:, :16]
    scales, minima = factors & np.uint8(15), factors >> np.uint8(4)
    codes = bit_pairs(blocks[:, 16:80])
    return _grouped(codes, blocks[:, 80:82], blocks[:, 82:84], scales, minima)


def _q3_k(blocks: Bytes) -> Fields:
    codes = bit_pairs(blocks[:, 32:96]) | (bit_planes(blocks[:, :32]) << np.uint8(2))
    return _grouped(codes, blocks[:, 108:110], None, six_bit_scales(blocks[:, 96:108]))


def _q4_k(blocks: Bytes) -> Fields:
    codes = nibbles(blocks[:, 16:].reshape(-1, 4, 32)).reshape(-1, SUPERBLOCK)
    return _grouped(codes, blocks[:, :2], blocks[:, 2:4], *scales_and_minima(blocks[:, 4:16]))


def _q5_k(blocks: Bytes) -> Fields:
    low = nibbles(blocks[:, 48:].reshape(-1, 4, 32)).reshape(-1, SUPERBLOCK)
    codes = low | (bit_planes(blocks[:, 16:48]) << np.uint8(4))
    return _grouped(codes, blocks[:, :2], blocks[:, 2:4], *scales_and_minima(blocks[:, 4:16]))


def _q6_k(blocks: Bytes) -> Fields:
    low = nibbles(blocks[:, :128].reshape(-1, 2, 64)).reshape(-1, SUPERBLOCK)
    codes = low | (bit_pairs(blocks[:, 128:192]) << np.uint8(4))
    return _grouped(codes, blocks[:, 208:210], None, blocks[:, 192:208])


def _iq4_xs(blocks: Bytes) -> Fields:
    codes = nibbles(blocks[:, 8:].reshape(-1, 8, 16)).reshape(-1, SUPERBLOCK)
    return _grouped(codes, blocks[:, :2], None, iq4_xs_scales(blocks))


_FIELDS: dict[str, Callable[[Bytes], Fields]] = {
    "q4_0": lambda blocks: _plain(nibbles(blocks[:, 2:]), blocks[:, :2]),
    "q4_1": lambda blocks: _plain(nibbles(blocks[:, 4:]), blocks[:, :2], blocks[:, 2:4]),
    "q5_0": lambda blocks: _plain(fives(blocks, 2), blocks[:, :2]),
    "q5_1": lambda blocks: _plain(fives(blocks, 4), blocks[:, :2], blocks[:, 2:4]),
    "q8_0": _q8_0,
    "q2_k": _q2_k,
    "q3_k": _q3_k,
    "q4_k": _q4_k,
    "q5_k": _q5_k,
    "q6_k": _q6_k,
    "iq4_nl": lambda blocks: _plain(nibbles(blocks[:, 2:]), blocks[:, :2]),
    "iq4_xs": _iq4_xs,
    "mxfp4": lambda blocks: _plain(nibbles(blocks[:, 1:]), blocks[:, :1]),
}
