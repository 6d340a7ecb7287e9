"""Directories of safetensors files (Hugging Face layout), one file or sharded, mapped."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.mapping import map_file, release_pages
from headrace.checkpoint.tensors import StoredTensor, TensorFacts, stored_tensor
from headrace.errors import MalformedFileError, SourceError, UnsupportedFormatError
from headrace.formats.storage import FORMATS

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
FORMAT_OF_DTYPE = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
#: NumPy's types of elements; small floats that it lacks as their bits.
NUMPY_OF_DTYPE = {
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "F8_E4M3": "u1",
    "F8_E8M0": "u1",
    "U8": "u1",
    "I8": "i1",
    "I32": "<i4",
    "I64": "<i8",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor's place in its file: bytes `start` to `end` of the mapped file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One mapped safetensors file and what its header says."""

    path: Path
    data: mmap.mmap
    entries: Mapping[str, Entry]

    def tensor(self, name: str) -> StoredTensor:
        entry = self.entries[name]
        format_name = FORMAT_OF_DTYPE.get(entry.dtype)
        if format_name is None:
            raise UnsupportedFormatError(
                f"tensor '{name}' is stored as {entry.dtype}",
                where=str(self.path),
                hint=f"take a checkpoint stored as one of {', '.join(FORMAT_OF_DTYPE)}",
            )
        return stored_tensor(name, FORMATS[format_name], entry.shape, self._bytes(entry))

    def array(self, name: str) -> NDArray[Any]:
        """The elements of a tensor, in its shape; see `NUMPY_OF_DTYPE`."""
        entry = self.entries[name]
        return self._bytes(entry).view(NUMPY_OF_DTYPE[entry.dtype]).reshape(entry.shape)

    def _bytes(self, entry: Entry) -> NDArray[np.uint8]:
        return np.frombuffer(self.data, np.uint8, entry.end - entry.start, entry.start)


class SafetensorsCheckpoint:
    """A model directory: which shard holds each tensor."""

    def __init__(self, path: Path, shard_of: Mapping[str, Shard]) -> None:
        self._path = path
        self._shard_of = shard_of

    @property
    def path(self) -> Path:
        return self._path

    @property
    def metadata(self) -> Mapping[str, object]:
        """Empty: the model's configuration is in `config.json` beside the weights."""
        return {}

    def names(self) -> Sequence[str]:
        return list(self._shard_of)

    def tensor(self, name: str) -> StoredTensor:
        return self._shard(name).tensor(name)

    def entry(self, name: str) -> Entry | None:
        """Type, shape and place of a tensor, or None if there is none of that name."""
        shard = self._shard_of.get(name)
        return None if shard is None else shard.entries[name]

    def array(self, name: str) -> NDArray[Any]:
        """The elements of a tensor of any type in `NUMPY_OF_DTYPE`, a view of the mapped file."""
        return self._shard(name).array(name)

    def facts(self, name: str) -> TensorFacts:
        entry = self._shard(name).entries[name]
        format = FORMAT_OF_DTYPE.get(entry.dtype, entry.dtype)
        return TensorFacts(format, entry.shape, entry.end - entry.start)

    def release(self) -> None:
        for shard in {id(each): each for each in self._shard_of.values()}.values():
            release_pages(shard.data)

    def _shard(self, name: str) -> Shard:
        shard = self._shard_of.get(name)
        if shard is None:
            raise MalformedFileError(f"the checkpoint has no tensor '{name}'", where=str(self.path))
        return shard


def open_safetensors(directory: Path) -> SafetensorsCheckpoint:
    """Map the weights of a model directory and check their headers.

    Raises:
        SourceError: the directory holds no weights.
        MalformedFileError: a header or the index contradicts the files.
    """
    if (directory / INDEX).is_file():
        return SafetensorsCheckpoint(directory, _sharded(directory))
    if not (directory / SINGLE).is_file():
        raise SourceError(
            f"there is neither {SINGLE} nor {INDEX}",
            where=str(directory),
            hint="weights in pickle files (.bin, .pt) are never loaded; convert to safetensors",
        )
    shard = open_shard(directory / SINGLE)
    return SafetensorsCheckpoint(directory, dict.fromkeys(shard.entries, shard))


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory, in order of name."""
    if (directory / INDEX).is_file():
        return [directory / name for name in sorted(set(_weight_map(directory).values()))]
    return [directory / SINGLE]


def _sharded(directory: Path) -> dict[str, Shard]:
    weight_map = _weight_map(directory)
    names = sorted(set(weight_map.values()))
    _require_all(directory, names)
    shards = {name: open_shard(directory / name) for name in names}
    for tensor, shard in weight_map.items():
        if tensor not in shards[shard].entries:
            raise MalformedFileError(
                f"the index places tensor '{tensor}' in {shard}, which does not hold it",
                where=str(directory / INDEX),
            )
    return {tensor: shards[shard] for tensor, shard in weight_map.items()}


def _require_all(directory: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise SourceError(
            f"{missing[0]}{others}, which the index names, is missing",
            where=str(directory / INDEX),
            hint=f"fetch all {len(names)} shards of the model again",
        )


def _weight_map(directory: Path) -> dict[str, str]:
    path = directory / INDEX
    try:
        index: object = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MalformedFileError(f"the index is not JSON: {error}", where=str(path)) from error
    found = cast("dict[object, object]", index).get("weight_map") if _is_dict(index) else None
    if not _is_dict(found):
        raise MalformedFileError("the index has no table 'weight_map'", where=str(path))
    weight_map = cast("dict[str, object]", found)
    return {tensor: _shard_name(path, shard) for tensor, shard in weight_map.items()}


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def _shard_name(index: Path, name: object) -> str:
    """A plain file name: an index must not reach outside its directory."""
    plain = isinstance(name, str) and PurePosixPath(name).name == name and "\\" not in name
    if not plain or name in ("", ".", "..") or "\0" in cast("str", name):
        raise MalformedFileError(
            f"the index names a shard {name!r}, which is not a plain file name", where=str(index)
        )
    return cast("str", name)


def open_shard(path: Path) -> Shard:
    """Map one safetensors file; the safetensors library checks its header against its size.

    Raises:
        SourceError: the file cannot be opened.
        MalformedFileError: the library rejects it.
    """
    from safetensors import SafetensorError, safe_open

    data = map_file(path)
    try:
        with safe_open(str(path), framework="numpy"):
            pass
    except SafetensorError as error:
        raise MalformedFileError(
            f"this is not a valid safetensors file: {error}", where=f"{path}, byte 0"
        ) from error
    return Shard(path, data, _entries(data))


def _entries(data: mmap.mmap) -> dict[str, Entry]:
    """Places of a header that the library has checked: offsets are in order and within the file."""
    header_bytes = int.from_bytes(data[:8], "little")
    start = 8 + header_bytes
    header = cast("dict[str, dict[str, object]]", json.loads(data[8:start]))
    return {
        name: _entry(described, start)
        for name, described in header.items()
        if name != "__metadata__"
    }


def _entry(described: dict[str, object], data_start: int) -> Entry:
    begin, end = cast("list[int]", described["data_offsets"])
    shape = tuple(cast("list[int]", described["shape"]))
    return Entry(cast("str", described["dtype"]), shape, data_start + begin, data_start + end)
