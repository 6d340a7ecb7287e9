"""One quantised matrix: the tensors that make it up, checked, and the rows they are read as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from headrace.checkpoint.safetensors import Entry, SafetensorsCheckpoint
from headrace.checkpoint.tensors import StoredTensor
from headrace.errors import MalformedFileError, UnsupportedFormatError


class Quantised(Protocol):
    """A matrix under the name of the module's parameter."""

    @property
    def parts(self) -> Parts: ...

    def stored(self, name: str) -> StoredTensor:
        """The matrix `name`; rows are converted when they are asked for.

        Raises:
            MalformedFileError: its parts contradict each other.
            UnsupportedFormatError: no storage format holds it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The tensors of one matrix.

    Attributes:
        names: what a part is (`qweight`) → its name in the checkpoint.
    """

    checkpoint: SafetensorsCheckpoint
    module: str
    names: Mapping[str, str]

    def __contains__(self, part: str) -> bool:
        return part in self.names

    def entry(self, part: str) -> Entry:
        """Type and shape of a part.

        Raises:
            MalformedFileError: the checkpoint lacks it.
        """
        found = self.checkpoint.entry(self.names.get(part, ""))
        if found is None:
            raise MalformedFileError(
                f"the quantised matrix '{self.module}' has no tensor '{part}'", where=self.where
            )
        return found

    def array(self, part: str) -> NDArray[Any]:
        self.entry(part)
        return self.checkpoint.array(self.names[part])

    def typed(self, part: str, dtypes: tuple[str, ...], dimensions: int | None = None) -> Entry:
        """The entry of a part that must have one of some types.

        Raises:
            UnsupportedFormatError: it has another type.
            MalformedFileError: it is missing, or has another number of dimensions.
        """
        found = self.entry(part)
        if found.dtype not in dtypes:
            raise UnsupportedFormatError(
                f"tensor '{self.names[part]}' is stored as {found.dtype}; "
                f"{' or '.join(dtypes)} is read",
                where=self.where,
            )
        if dimensions is not None and len(found.shape) != dimensions:
            raise self.malformed(part, f"{dimensions} dimensions")
        return found

    def require_shape(self, part: str, shape: tuple[int, ...]) -> None:
        """Raises MalformedFileError unless the part has this shape."""
        if self.entry(part).shape != shape:
            raise self.malformed(part, str(list(shape)))

    def malformed(self, part: str, expected: str) -> MalformedFileError:
        shape = list(self.entry(part).shape)
        return MalformedFileError(
            f"tensor '{self.names[part]}' has the shape {shape}, and {expected} is needed",
            where=self.where,
        )

    @property
    def where(self) -> str:
        return str(self.checkpoint.path)


def parts_of(checkpoint: SafetensorsCheckpoint, module: str, possible: tuple[str, ...]) -> Parts:
    """The parts among `possible` that the checkpoint has of a module."""
    named = {part: f"{module}.{part}" for part in possible}
    present = {part: name for part, name in named.items() if checkpoint.entry(name) is not None}
    return Parts(checkpoint, module, present)
