"""Storage formats as the product kernels see them: bits of a value, scales, how they are grouped.

A value is `scale * (code - zero)`, plus or minus a minimum in some formats. Codes have 2 to 8 bits,
kept in planes of 1, 2, 4 or 8; a codebook may turn a code into another integer. A row's columns
come in blocks that share float parameters; within a block, groups of 16 or 32 columns may have
integer factors of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from headrace.errors import UnsupportedFormatError
from headrace.formats.codebooks import E2M1_DOUBLED, IQ4
from headrace.formats.groups import GroupLayout, parse_group
from headrace.formats.storage import storage_format

TILE_ROWS = 32
TILE_COLS = 32

#: How activations enter products: 8 bits with a scale per 32, or as they are.
Form = Literal["q8", "f32"]

#: How a block's scale is stored; e8m0 is a power of two in one byte.
ScaleType = Literal["f16", "bf16", "f32", "e8m0"]
SCALE_BYTES: dict[ScaleType, int] = {"f16": 2, "bf16": 2, "f32": 4, "e8m0": 1}

#: What a block has beside its scale: a float minimum that is added or subtracted, or a zero point.
Shift = Literal["none", "added", "subtracted", "zero point"]
SHIFT_BYTES: dict[Shift, int] = {"none": 0, "added": 2, "subtracted": 2, "zero point": 1}


@dataclass(frozen=True, slots=True)
class GroupFactors:
    """Integer factors of the groups of columns within a block.

    cols: columns of a group, 16 or 32. bits: of a factor. zero: subtracted from a factor.
    signed: whether a factor of 8 bits is signed. minima: whether a group has, after all its block's
        scale factors, a factor of as many bits for the block's minimum.
    """

    cols: Literal[16, 32]
    bits: Literal[4, 6, 8]
    zero: int = 0
    signed: bool = False
    minima: bool = False

    @property
    def groups(self) -> int:
        """Groups in 32 columns."""
        return TILE_COLS // self.cols

    @property
    def count(self) -> int:
        """Factors a row has for 32 columns."""
        return self.groups * (2 if self.minima else 1)

    @property
    def bytes(self) -> int:
        """Bytes of the factors of 32 rows for 32 columns."""
        return TILE_ROWS * self.count * self.bits // 8


@dataclass(frozen=True, slots=True)
class TileFormat:
    """One storage format as tiles.

    planes: bits of the planes of a code, the lowest first.
    kind: whether products take the code as an integer or as the bits of a float.
    zero: what is subtracted from the unsigned code (after the codebook).
    codebook: what each code stands for, plus `zero`; empty if a code stands for itself.
    cols: columns of a block, a multiple of 32.
    scale: how the block's scale is stored; None for plain floats.
    """

    name: str
    planes: tuple[int, ...]
    kind: Literal["integer", "float"] = "integer"
    zero: int = 0
    codebook: tuple[int, ...] = ()
    cols: int = TILE_COLS
    scale: ScaleType | None = "f16"
    shift: Shift = "none"
    factors: GroupFactors | None = None

    @property
    def activation(self) -> Form:
        """How the other factor of a product enters."""
        return "q8" if self.kind == "integer" else "f32"

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return sum(self.planes)

    @property
    def largest(self) -> int:
        """The largest integer that a code stands for, plus `zero`."""
        return max(self.codebook, default=(1 << self.bits) - 1)

    @property
    def groups(self) -> int:
        """Groups of columns with a scale of their own, in 32 columns."""
        return self.factors.groups if self.factors else 1

    @property
    def has_minimum(self) -> bool:
        return self.shift in ("added", "subtracted")

    @property
    def parts(self) -> int:
        """Parts of 32 columns in a block."""
        return self.cols // TILE_COLS

    @property
    def part_bytes(self) -> int:
        """Bytes of 32 rows by 32 columns: the planes, then the groups' factors."""
        factors = self.factors.bytes if self.factors else 0
        return TILE_ROWS * TILE_COLS * self.bits // 8 + factors

    @property
    def block_bytes(self) -> int:
        """Bytes of 32 rows of a block: its parts, then the scales, then minima or zero points."""
        scale = SCALE_BYTES[self.scale] if self.scale else 0
        return self.parts * self.part_bytes + TILE_ROWS * (scale + SHIFT_BYTES[self.shift])

    def blocks(self, cols: int) -> int:
        """Blocks of a row; the last may be filled in part."""
        return -(-cols // self.cols)

    def tile_bytes(self, cols: int) -> int:
        """Bytes of one tile of 32 rows."""
        return self.blocks(cols) * self.block_bytes


_SIGN = 128
_K = 256


def _unsigned(codebook: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(value + _SIGN for value in codebook)


_K_FACTORS = GroupFactors(32, 6, minima=True)

_NAMED = (
    TileFormat("f32", (32,), "float", scale=None),
    TileFormat("f16", (16,), "float", scale=None),
    TileFormat("bf16", (16,), "float", scale=None),
    TileFormat("q4_0", (4,), zero=8),
    TileFormat("q4_1", (4,), shift="added"),
    TileFormat("q5_0", (4, 1), zero=16),
    TileFormat("q5_1", (4, 1), shift="added"),
    TileFormat("q8_0", (8,), zero=_SIGN),
    TileFormat("q2_k", (2,), cols=_K, shift="subtracted", factors=GroupFactors(16, 4, minima=True)),
    TileFormat("q3_k", (2, 1), zero=4, cols=_K, factors=GroupFactors(16, 6, zero=32)),
    TileFormat("q4_k", (4,), cols=_K, shift="subtracted", factors=_K_FACTORS),
    TileFormat("q5_k", (4, 1), cols=_K, shift="subtracted", factors=_K_FACTORS),
    TileFormat("q6_k", (4, 2), zero=32, cols=_K, factors=GroupFactors(16, 8, signed=True)),
    TileFormat("iq4_nl", (4,), zero=_SIGN, codebook=_unsigned(IQ4)),
    TileFormat(
        "iq4_xs",
        (4,),
        zero=_SIGN,
        codebook=_unsigned(IQ4),
        cols=_K,
        factors=GroupFactors(32, 6, zero=32),
    ),
    TileFormat("mxfp4", (4,), zero=_SIGN, codebook=_unsigned(E2M1_DOUBLED), scale="e8m0"),
)

#: The formats that have a name of their own; there are families of others beside them.
TILE_FORMATS = {format.name: format for format in _NAMED}


@cache
def tile_format(name: str) -> TileFormat:
    """The storage format called `name` as tiles.

    Raises:
        UnsupportedFormatError: there is no such format.
    """
    found = TILE_FORMATS.get(name)
    if found is not None:
        return found
    layout = parse_group(storage_format(name).name)
    if layout is None:
        raise UnsupportedFormatError(
            f"no kernel multiplies weights stored as {name!r}",
            hint=f"one of: {', '.join(TILE_FORMATS)}",
        )
    return _of_groups(name, layout)


def _of_groups(name: str, layout: GroupLayout) -> TileFormat:
    planes, cols = (layout.bits,), layout.group
    if layout.floating:
        return TileFormat(name, planes, "float", cols=cols, scale=layout.scale)
    zero = 0 if layout.zero else 1 << (layout.bits - 1)
    shift = "zero point" if layout.zero else "none"
    return TileFormat(name, planes, zero=zero, cols=cols, scale=layout.scale, shift=shift)
