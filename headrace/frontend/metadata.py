"""A GGUF file's key-values, read with their types checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import MalformedFileError


@dataclass(frozen=True, slots=True)
class Metadata:
    """The keys of one architecture: `count("block_count")` reads `llama.block_count`."""

    architecture: str
    values: Mapping[str, object]
    path: str

    def count(self, key: str, default: int | None = None) -> int:
        """A positive integer.

        Raises:
            MalformedFileError: it is missing without a default, or something else.
        """
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(key, "one positive integer", value)
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """The shortest decimal number with the float32 value stored; errors as `count`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "one number", value)
        return float(str(np.float32(value)))

    def optional(self, key: str) -> float | None:
        """As `real`; None where the file does not say."""
        return self.real(key) if self.has(key) else None

    def flag(self, key: str, default: bool) -> bool:
        """True or false; errors as `count`."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def pattern(self, key: str, period: int, count: int) -> list[bool]:
        """One truth for each of `count` layers.

        The file holds them all, or a period: every layer is true but the last of a period.

        Args:
            period: what counts where the file does not say.
        """
        value = self._get(key, period)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, list):
            entries = cast("list[object]", value)
            if len(entries) != count or not all(isinstance(each, bool | int) for each in entries):
                raise self._wrong(key, f"one truth for each of {count} layers", value)
            return [bool(each) for each in entries]
        every = self.count(key, period)
        return [(layer + 1) % every != 0 for layer in range(count)]

    def text(self, key: str, default: str) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self.values

    def _get(self, key: str, default: object) -> object:
        value = self.values.get(f"{self.architecture}.{key}", default)
        if value is None:
            raise MalformedFileError(
                f"the key '{self.architecture}.{key}' is missing", where=self.path
            )
        return value

    def _wrong(self, key: str, wanted: str, value: object) -> MalformedFileError:
        return MalformedFileError(
            f"the key '{self.architecture}.{key}' should be {wanted}, not {str(value)[:60]}",
            where=self.path,
        )


def read_metadata(checkpoint: Checkpoint) -> Metadata:
    """The metadata of the architecture that the file names."""
    architecture = checkpoint.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise MalformedFileError(
            "the key 'general.architecture' is missing or not a string", where=str(checkpoint.path)
        )
    return Metadata(architecture, checkpoint.metadata, str(checkpoint.path))
