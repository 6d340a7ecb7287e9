"""GGUF files, mapped and checked; nothing in the file is trusted."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from headrace.checkpoint.cursor import Cursor
from headrace.checkpoint.formats import FORMATS
from headrace.checkpoint.ggml_types import GGML_TYPES
from headrace.checkpoint.gguf_header import Header, TensorInfo, read_header
from headrace.checkpoint.tensors import StoredTensor, stored_tensor
from headrace.errors import MalformedFileError, SourceError, UnsupportedFormatError


class GGUFCheckpoint:
    """An opened GGUF file: its key-values, and its tensors as views of the mapped file."""

    def __init__(self, path: Path, data: mmap.mmap, header: Header) -> None:
        self._path = path
        self._data = data
        self._header = header

    @property
    def path(self) -> Path:
        return self._path

    @property
    def metadata(self) -> Mapping[str, object]:
        """Numbers and bools as Python's, strings as str, string arrays as lists of str, other
        arrays as read-only NumPy views of the file."""
        return self._header.metadata

    def names(self) -> Sequence[str]:
        return list(self._header.tensors)

    def tensor(self, name: str) -> StoredTensor:
        info = self._header.tensors.get(name)
        if info is None:
            raise MalformedFileError(f"the file has no tensor '{name}'", where=str(self._path))
        known = GGML_TYPES.get(info.type)
        format = FORMATS.get(known.name) if known is not None else None
        if format is None or info.nbytes is None:
            raise self._unsupported(info, known.name if known is not None else "unknown")
        data = np.frombuffer(self._data, np.uint8, info.nbytes, info.offset)
        return stored_tensor(name, format, info.shape, data)

    def _unsupported(self, info: TensorInfo, type_name: str) -> UnsupportedFormatError:
        return UnsupportedFormatError(
            f"tensor '{info.name}' is stored as {type_name} (ggml type {info.type})",
            where=f"{self._path}, byte {info.described_at}",
            hint=f"take a file whose tensors are all among {', '.join(FORMATS)}",
        )


def open_gguf(path: Path) -> GGUFCheckpoint:
    """Map a GGUF file (version 2 or 3, little-endian) and check its header.

    Raises:
        SourceError: the file cannot be opened.
        MalformedFileError: the header contradicts itself or the size of the file.
        UnsupportedFormatError: another version, big-endian, or one part of a split file.
    """
    data = map_file(path)
    return GGUFCheckpoint(path, data, read_header(Cursor(path, data)))


def map_file(path: Path) -> mmap.mmap:
    """The whole of a regular, non-empty file, mapped for reading."""
    try:
        if not path.is_file():
            raise SourceError("there is no such file", where=str(path))
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise MalformedFileError("the file is empty", where=f"{path}, byte 0")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
