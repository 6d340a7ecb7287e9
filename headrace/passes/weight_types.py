"""Formats and bytes of the weights that a program names."""

from __future__ import annotations

from xdsl.ir import SSAValue

from headrace.formats.storage import StorageFormat, storage_format
from headrace.ir.stages import Segment
from headrace.ir.types import WeightType

#: Columns of a packed row are padded to a multiple of this.
BLOCK_COLS = 32


def weight_type(weight: SSAValue) -> WeightType:
    assert isinstance(weight.type, WeightType)
    return weight.type


def format_of(weight: SSAValue) -> StorageFormat:
    """The storage format of a weight.

    Raises:
        UnsupportedFormatError: there is none of that name.
    """
    return storage_format(weight_type(weight).format.data)


def is_integer(weight: SSAValue) -> bool:
    """Whether products with a weight take activations of 8 bits."""
    return format_of(weight).integer


def packed_row_bytes(segment: Segment, columns: int | None = None) -> int:
    """Bytes that one row takes in a stream, in all of the segment's linears together.

    columns: how many of them are read; None for all.
    """
    return sum(_row_bytes(linear.weight, columns) for linear in segment.linears)


def _row_bytes(weight: SSAValue, columns: int | None) -> int:
    cols = weight_type(weight).shape[1] if columns is None else columns
    return format_of(weight).row_bytes(-(-cols // BLOCK_COLS) * BLOCK_COLS)
