"""Where the dimensions of a PyTorch tensor lie in a value of the program.

A program's value is `[T, features...]`; the exported graph has a batch of one, moves heads in front
of tokens and repeats heads. None of that costs an operator: a `Value` keeps track.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

from headrace.frontend.product import Product


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of a PyTorch tensor.

    Attributes:
        index: the program value's dimension (0: tokens), or None if all entries are the same.
        repeat: how often each entry comes in a row.
    """

    index: int | None
    repeat: int = 1


ONE = Axis(None)
TOKENS = Axis(0)


@dataclass(frozen=True, slots=True)
class Value:
    """A program's value seen as a PyTorch tensor: one axis a dimension of the tensor.

    Attributes:
        source: the value, or a product that is emitted when its value is asked for.
    """

    source: SSAValue | Product
    axes: tuple[Axis, ...]

    @property
    def ssa(self) -> SSAValue:
        return self.source.ssa if isinstance(self.source, Product) else self.source

    @property
    def features(self) -> tuple[int, ...]:
        if isinstance(self.source, Product):
            return self.source.features
        assert isinstance(self.source.type, TensorType)
        return self.source.type.get_shape()[1:]

    def is_laid_out(self, *indices: int) -> bool:
        """Whether the last dimensions are these program dimensions, and those before are one."""
        expected = tuple(Axis(index) for index in indices)
        leading = self.axes[: len(self.axes) - len(indices)]
        return self.axes[len(leading) :] == expected and all(axis == ONE for axis in leading)


def natural(source: SSAValue | Product, rank: int) -> Value:
    """A program's value as the tensor `[1, ..., T, features...]` of that rank."""
    own = 1 + len(Value(source, ()).features)
    return Value(source, (ONE,) * (rank - own) + tuple(Axis(index) for index in range(own)))
