"""Exact decoding of codes in groups: the form in which headrace keeps GPTQ, AWQ,
compressed-tensors and FP8 checkpoints.

A group of G columns is `[scale, zero (one byte, where there is one), codes]`. `int4`: byte *i*
holds column *i* in its low half and column *i + G/2* in its high half; `int8`: a byte a column;
both unsigned, and without a zero of their own the zero is 8 or 128. `f8`: E4M3 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace.formats.blocks import nibbles
from headrace.formats.floats import (
    Bytes,
    Floats,
    decode_bf16,
    decode_e4m3,
    decode_f16,
    decode_f32,
)

ScaleName = Literal["f16", "bf16", "f32"]

FORMS = "int4_gG_S, int8_gG_S (also with a zero point: …z), f8_gG: G 32, 64, 128; S f16, bf16, f32"

_NAME = re.compile(
    r"(?:(?P<codes>int[48])_g(?P<group>32|64|128)_(?P<scale>f16|bf16|f32)(?P<zero>z?)"
    r"|f8_g(?P<f8_group>32|64|128))"
)
_SCALE_NAMES: dict[str, ScaleName] = {"f16": "f16", "bf16": "bf16", "f32": "f32"}
_SCALES: dict[ScaleName, tuple[int, Callable[[Bytes], Floats]]] = {
    "f16": (2, decode_f16),
    "bf16": (2, decode_bf16),
    "f32": (4, decode_f32),
}


@dataclass(frozen=True, slots=True)
class GroupLayout:
    """What a name like `int4_g128_f16z` says.

    Attributes:
        bits: 4 or 8, of a code.
        floating: codes are E4M3 numbers instead of integers.
        scale: "f16", "bf16" or "f32".
        zero: each group has a zero point.
    """

    group: int
    bits: int
    scale: ScaleName
    zero: bool = False
    floating: bool = False

    @property
    def scale_bytes(self) -> int:
        return _SCALES[self.scale][0]

    @property
    def codes_at(self) -> int:
        """Offset of the codes in a block."""
        return self.scale_bytes + self.zero

    @property
    def block_bytes(self) -> int:
        return self.codes_at + self.group * self.bits // 8

    def decode(self, blocks: Bytes) -> Floats:
        """`scale · (code - zero)` in float32, `[n, block_bytes]` → `[n, group]`."""
        codes = blocks[:, self.codes_at :]
        scale = self._scales(blocks)
        if self.floating:
            return decode_e4m3(codes) * scale
        whole = nibbles(codes) if self.bits == 4 else codes
        zero = blocks[:, self.codes_at - 1 : self.codes_at] if self.zero else self._centre()
        return (whole.astype(np.int16) - zero) * scale

    def _scales(self, blocks: Bytes) -> Floats:
        size, decode = _SCALES[self.scale]
        return decode(blocks[:, :size].copy())

    def _centre(self) -> np.int16:
        return np.int16(1 << (self.bits - 1))


def parse_group(name: str) -> GroupLayout | None:
    """The layout that `name` describes, or None if it has not the form of one."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match["f8_group"]:
        return GroupLayout(int(match["f8_group"]), 8, "f32", floating=True)
    bits = int(match["codes"][-1])
    return GroupLayout(int(match["group"]), bits, _SCALE_NAMES[match["scale"]], bool(match["zero"]))
