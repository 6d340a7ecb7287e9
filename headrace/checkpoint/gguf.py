"""GGUF files, mapped and checked; nothing in the file is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from headrace.checkpoint.ggml_types import GGML_TYPES
from headrace.checkpoint.gguf_header import TensorInfo
from headrace.checkpoint.gguf_parts import Part, open_parts
from headrace.checkpoint.mapping import release_pages
from headrace.checkpoint.tensors import StoredTensor, TensorFacts, stored_tensor
from headrace.errors import MalformedFileError, UnsupportedFormatError
from headrace.formats.storage import FORMATS


class GGUFCheckpoint:
    """An opened GGUF model: its key-values, and its tensors as views of the mapped files."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._part_of = {name: part for part in parts for name in part.header.tensors}

    @property
    def path(self) -> Path:
        """The file; of a split model the first."""
        return self._parts[0].path

    @property
    def metadata(self) -> Mapping[str, object]:
        """Numbers and bools as Python's, strings as str, string arrays as lists of str, other
        arrays as read-only NumPy views of the file. Those of the first part."""
        return self._parts[0].header.metadata

    def names(self) -> Sequence[str]:
        return list(self._part_of)

    def tensor(self, name: str) -> StoredTensor:
        part = self._part(name)
        info = part.header.tensors[name]
        known = GGML_TYPES.get(info.type)
        format = FORMATS.get(known.name) if known is not None else None
        if format is None or info.nbytes is None:
            raise _unsupported(part, info, known.name if known is not None else "unknown")
        data = np.frombuffer(part.data, np.uint8, info.nbytes, info.offset)
        return stored_tensor(name, format, info.shape, data)

    def facts(self, name: str) -> TensorFacts:
        info = self._part(name).header.tensors[name]
        known = GGML_TYPES.get(info.type)
        format = known.name if known is not None else f"ggml type {info.type}"
        return TensorFacts(format, info.shape, info.nbytes or 0)

    def _part(self, name: str) -> Part:
        part = self._part_of.get(name)
        if part is None:
            raise MalformedFileError(f"the file has no tensor '{name}'", where=str(self.path))
        return part

    def release(self) -> None:
        for part in self._parts:
            release_pages(part.data)


def _unsupported(part: Part, info: TensorInfo, type_name: str) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        f"tensor '{info.name}' is stored as {type_name} (ggml type {info.type})",
        where=f"{part.path}, byte {info.described_at}",
        hint=f"take a file whose tensors are all among {', '.join(FORMATS)}",
    )


def open_gguf(path: Path) -> GGUFCheckpoint:
    """Map a GGUF model (version 2 or 3, little-endian) and check its headers.

    Args:
        path: the file, or any part `NAME-00001-of-0000N.gguf` of a split model.

    Raises:
        SourceError: a file is missing or cannot be opened.
        MalformedFileError: a header contradicts itself, the size of its file or other parts.
        UnsupportedFormatError: another version, or big-endian.
    """
    return GGUFCheckpoint(open_parts(path))
