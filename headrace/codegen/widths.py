"""Sizes that follow from shapes: strides of rows, tiles of units, bytes rounded up."""

from __future__ import annotations

from math import prod

from xdsl.ir import SSAValue

from headrace.codegen.tile_format import TILE_ROWS
from headrace.ir.shapes import features_of
from headrace.ir.stages import Segment
from headrace.ir.types import WeightType

#: Bytes of a float32.
FLOAT = 4

#: Where areas of memory start: a multiple of this.
ALIGN = 4096

#: Rows of a product that are computed for all tokens before their epilogue, with several tokens.
CHUNK_ROWS = 128


def padded(features: int) -> int:
    """Features rounded up to whole tiles: the stride of a row in a buffer."""
    return -(-features // TILE_ROWS) * TILE_ROWS


def aligned(bytes: int) -> int:
    """Bytes rounded up to where the next area may start."""
    return -(-bytes // ALIGN) * ALIGN


def width(value: SSAValue) -> int:
    """All features of one token."""
    return prod(features_of(value))


def weight_format(value: SSAValue) -> str:
    """The name of a weight's storage format."""
    assert isinstance(value.type, WeightType)
    return value.type.format.data


def unit_tiles(segment: Segment) -> int:
    """Tiles that one unit fills in one linear's weight."""
    return -(-segment.unit_rows // TILE_ROWS)


def unit_scratch_rows(segment: Segment) -> int:
    """Rows of product scratch that one unit takes."""
    return unit_tiles(segment) * TILE_ROWS * len(segment.linears)


def chunk_units(segment: Segment) -> int:
    """Units whose products are computed for all tokens before their epilogue."""
    return max(1, CHUNK_ROWS // unit_scratch_rows(segment))
