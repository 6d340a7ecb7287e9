"""Shapes of the values and weights of a program."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import DYNAMIC_INDEX, ShapedType, TensorType, f32, i32
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

from headrace.ir.types import WeightType


def tokens_of(*features: int) -> TensorType[Attribute]:
    """The type of one float32 feature tensor a token: `tensor<?xAxBxf32>`."""
    return TensorType(f32, [DYNAMIC_INDEX, *features])


def ids_type() -> TensorType[Attribute]:
    """The type of one integer a token: `tensor<?xi32>`."""
    return TensorType(i32, [DYNAMIC_INDEX])


def features_of(value: SSAValue) -> tuple[int, ...]:
    """The dimensions of a value behind its token dimension."""
    if not isinstance(value.type, ShapedType):
        raise VerifyException(f"expected a tensor, got {value.type}")
    return value.type.get_shape()[1:]


def weight_shape(value: SSAValue) -> tuple[int, ...]:
    if not isinstance(value.type, WeightType):
        raise VerifyException(f"expected a weight, got {value.type}")
    return value.type.shape


def matrix_shape(value: SSAValue) -> tuple[int, int]:
    """Rows and columns of a weight that has both."""
    match weight_shape(value):
        case (rows, columns):
            return rows, columns
        case shape:
            raise VerifyException(f"expected a weight [rows, columns], got {list(shape)}")


def product(dims: Sequence[int]) -> int:
    """The number of entries of an array with these dimensions."""
    result = 1
    for dim in dims:
        result *= dim
    return result
