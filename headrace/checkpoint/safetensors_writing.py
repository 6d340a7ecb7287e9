"""Writing safetensors files tensor by tensor, split by size.

Layout: https://huggingface.co/docs/safetensors: the length of a JSON header, the header, and the
tensors without gaps. Wider elements come first, so that all are aligned.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from headrace.checkpoint.safetensors import INDEX, NUMPY_OF_DTYPE, SINGLE
from headrace.checkpoint.tensors import Bytes

SHARD_BYTES = 5_000_000_000
WIDTHS = {dtype: int(each[-1]) for dtype, each in NUMPY_OF_DTYPE.items()}
ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor to write."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * WIDTHS[self.dtype]


@dataclass(frozen=True, slots=True)
class Unit:
    """Tensors that are made together, and stay in one file; `make` gives their bytes in order."""

    parts: tuple[Part, ...]
    make: Callable[[], Sequence[Bytes]]

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)


def write_safetensors(
    directory: Path,
    units: Sequence[Unit],
    advance: Callable[[int], None],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write units into `model.safetensors`, or several files and their index.

    advance: is told of the bytes of each unit that is written.
    """
    shards = _shards(units, shard_bytes)
    if len(shards) == 1:
        _write_shard(directory / SINGLE, shards[0], advance)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        weight_map |= {part.name: name for unit in shard for part in unit.parts}
        _write_shard(directory / name, shard, advance)
    total = sum(unit.nbytes for unit in units)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / INDEX).write_text(json.dumps(index, indent=2), "utf-8")


def _shards(units: Sequence[Unit], most: int) -> list[list[Unit]]:
    """Units in their order, each file as full as it may be."""
    shards: list[list[Unit]] = [[]]
    size = 0
    for unit in units:
        if shards[-1] and size + unit.nbytes > most:
            shards.append([])
            size = 0
        shards[-1].append(unit)
        size += unit.nbytes
    return shards


def _write_shard(path: Path, units: Sequence[Unit], advance: Callable[[int], None]) -> None:
    header, starts = _header(units)
    with path.open("wb") as file:
        file.write(header)
        for unit in units:
            for part, data in zip(unit.parts, unit.make(), strict=True):
                assert data.nbytes == part.nbytes, part
                file.seek(len(header) + starts[part.name])
                file.write(data.data)
            advance(unit.nbytes)


def _header(units: Sequence[Unit]) -> tuple[bytes, dict[str, int]]:
    """The header with its length, and where tensors start behind it."""
    parts = [part for unit in units for part in unit.parts]
    parts.sort(key=lambda part: -WIDTHS[part.dtype])
    described: dict[str, object] = {"__metadata__": {"format": "pt"}}
    starts: dict[str, int] = {}
    end = 0
    for part in parts:
        starts[part.name], end = end, end + part.nbytes
        offsets = [starts[part.name], end]
        described[part.name] = {
            "dtype": part.dtype,
            "shape": part.shape,
            "data_offsets": offsets,
        }
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text, starts
