"""A tensor as it lies in a checkpoint, and what every checkpoint offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.formats.storage import StorageFormat

Bytes = NDArray[np.uint8]
#: Which rows of a tensor are wanted.
Wanted = slice | NDArray[np.intp]
#: Makes the bytes of rows when they are asked for.
RowMaker = Callable[[Wanted], Bytes]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's bytes, undecoded.

    Attributes:
        shape: logical, in PyTorch's order (rows first); the last axis is the one in blocks.
        source: [rows, row_bytes], rows the product of all axes but the last: a read-only view of
            the mapped file wherever the bytes are as stored, else what makes rows on demand.
    """

    name: str
    format: StorageFormat
    shape: tuple[int, ...]
    source: Bytes | RowMaker

    @property
    def cols(self) -> int:
        """Length of the last axis; 1 for a scalar."""
        return self.shape[-1] if self.shape else 1

    @property
    def row_count(self) -> int:
        return prod(self.shape[:-1])

    @property
    def nbytes(self) -> int:
        return self.row_count * self.format.row_bytes(self.cols)

    @cached_property
    def raw(self) -> Bytes:
        """All rows, [rows, row_bytes]."""
        return self.rows(slice(None))

    def rows(self, wanted: Wanted) -> Bytes:
        """Some rows, [wanted, row_bytes]; only these are made where rows are made on demand."""
        return self.source(wanted) if callable(self.source) else self.source[wanted]

    def dequantise(self) -> NDArray[np.float32]:
        """Exact float32 values in `shape`; f32 is a view of the file, not a copy."""
        return self.format.dequantise(self.raw, self.cols).reshape(self.shape)


def stored_tensor(
    name: str, format: StorageFormat, shape: tuple[int, ...], data: NDArray[np.uint8]
) -> StoredTensor:
    """The tensor whose bytes are `data` (one axis, exactly the tensor's length)."""
    rows = prod(shape[:-1])
    return StoredTensor(name, format, shape, data.reshape(rows, data.size // max(rows, 1)))


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What is known of a tensor without reading it, also of one in a format that is not read.

    Attributes:
        format: a storage format, or what the file calls the type.
    """

    format: str
    shape: tuple[int, ...]
    nbytes: int


class Checkpoint(Protocol):
    """An opened model file or directory; tensors are read when used."""

    @property
    def path(self) -> Path: ...

    @property
    def metadata(self) -> Mapping[str, object]:
        """GGUF key-values (strings, numbers, bools, lists of str, NumPy arrays); else empty."""
        ...

    def names(self) -> Sequence[str]: ...

    def tensor(self, name: str) -> StoredTensor:
        """The tensor called `name`.

        Raises:
            MalformedFileError: the checkpoint has no such tensor.
            UnsupportedFormatError: it is stored in a format that is not read.
        """
        ...

    def facts(self, name: str) -> TensorFacts:
        """Format, shape and size of the tensor called `name`.

        Raises:
            MalformedFileError: the checkpoint has no such tensor.
        """
        ...

    def release(self) -> None:
        """Let go of the memory that reading tensors took so far; tensors stay valid.

        Mapped pages count as memory of this process once they are read. Whoever goes through a
        whole checkpoint calls this after each tensor, so that they never add up.
        """
        ...
