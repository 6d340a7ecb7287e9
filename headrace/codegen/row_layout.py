"""Where the numbers of a stored row are, chunk by chunk of 16 columns: for reading single rows.

Layouts are those of `headrace.checkpoint` (ggml's for the formats of GGUF files).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.codegen.tile import I8, I32, LANES, Emitter, Value, vector
from headrace.codegen.tile_format import SCALE_BYTES, tile_format
from headrace.formats.groups import parse_group
from headrace.formats.storage import storage_format


@dataclass(frozen=True, slots=True)
class Plane:
    """`width` bits of every code of a block, from byte `at` on.

    `run` bytes hold the bits of `run` columns, the lowest in their bytes; then those of the next
    `run` columns follow, higher in the same bytes, until the bytes are full. A run of 0: one bit a
    column in a little-endian word of 32.
    """

    at: int
    width: int
    run: int

    def bits(self, e: Emitter, block: Value, chunk: int) -> Value:
        """The bits of 16 columns as i32."""
        if self.run == 0:
            word = e.splat(e.load(e.offset(block, self.at), I32))
            return (word >> (e.iota() + LANES * chunk)) & 1
        group, place = divmod(LANES * chunk, self.run * (8 // self.width))
        level, offset = divmod(place, self.run)
        raw = e.load(e.offset(block, self.at + group * self.run + offset), vector(I8))
        return (e.zext(raw, vector(I32)) >> (self.width * level)) & ((1 << self.width) - 1)


#: The integer factors of a chunk, i32 scalars: of the scale, then of the minimum if there is one.
Factors = Callable[[Emitter, Value, int], list[Value]]


@dataclass(frozen=True, slots=True)
class RowLayout:
    """One block of a row.

    planes: of the codes, the lowest bits first. scale_at, shift_at: bytes of the block's scale and
    of its minimum or zero point. factors: of the chunk's group.
    """

    planes: tuple[Plane, ...]
    scale_at: int = 0
    shift_at: int = 0
    factors: Factors | None = None


def row_layout(name: str) -> RowLayout:
    """The layout of rows stored in an integer format, or in one of 8-bit floats."""
    if name in _LAYOUTS:
        return _LAYOUTS[name]
    stored, layout = storage_format(name), parse_group(name)
    assert layout is not None
    run = stored.block * layout.bits // 8
    scale = tile_format(name).scale
    assert scale is not None
    return RowLayout((Plane(layout.codes_at, layout.bits, run),), shift_at=SCALE_BYTES[scale])


def _byte(e: Emitter, block: Value, at: int) -> Value:
    return e.zext(e.load(e.offset(block, at), I8), I32)


def _q2_k(e: Emitter, block: Value, chunk: int) -> list[Value]:
    both = _byte(e, block, chunk)
    return [both & 15, both >> 4]


def _q3_k(e: Emitter, block: Value, chunk: int) -> list[Value]:
    low = (_byte(e, block, 96 + chunk % 8) >> (4 * (chunk // 8))) & 15
    upper = (_byte(e, block, 104 + chunk % 4) >> (2 * (chunk // 4))) & 3
    return [low | (upper << 4)]


def _scale_and_minimum(e: Emitter, block: Value, chunk: int) -> list[Value]:
    """Q4_K and Q5_K; see `headrace.formats.superblocks.scales_and_minima`."""
    group, low = divmod(chunk // 2, 4)
    scale, minimum = _byte(e, block, 4 + low), _byte(e, block, 8 + low)
    if group == 0:
        return [scale & 63, minimum & 63]
    rest = _byte(e, block, 12 + low)
    upper = [(each >> 2) & 0x30 for each in (scale, minimum)]
    return [(rest & 15) | upper[0], (rest >> 4) | upper[1]]


def _q6_k(e: Emitter, block: Value, chunk: int) -> list[Value]:
    return [_byte(e, block, 192 + chunk)]


def _iq4_xs(e: Emitter, block: Value, chunk: int) -> list[Value]:
    group = chunk // 2
    low = (_byte(e, block, 4 + group // 2) >> (4 * (group % 2))) & 15
    upper = (_byte(e, block, 2 + group // 4) >> (2 * (group % 4))) & 3
    return [low | (upper << 4)]


_LAYOUTS = {
    "q4_0": RowLayout((Plane(2, 4, 16),)),
    "q4_1": RowLayout((Plane(4, 4, 16),), shift_at=2),
    "q5_0": RowLayout((Plane(6, 4, 16), Plane(2, 1, 0))),
    "q5_1": RowLayout((Plane(8, 4, 16), Plane(4, 1, 0)), shift_at=2),
    "q8_0": RowLayout((Plane(2, 8, 32),)),
    "q2_k": RowLayout((Plane(16, 2, 32),), 80, 82, _q2_k),
    "q3_k": RowLayout((Plane(32, 2, 32), Plane(0, 1, 32)), 108, factors=_q3_k),
    "q4_k": RowLayout((Plane(16, 4, 32),), 0, 2, _scale_and_minimum),
    "q5_k": RowLayout((Plane(48, 4, 32), Plane(16, 1, 32)), 0, 2, _scale_and_minimum),
    "q6_k": RowLayout((Plane(0, 4, 64), Plane(128, 2, 32)), 208, factors=_q6_k),
    "iq4_nl": RowLayout((Plane(2, 4, 16),)),
    "iq4_xs": RowLayout((Plane(8, 4, 16),), factors=_iq4_xs),
    "mxfp4": RowLayout((Plane(1, 4, 16),)),
}
