"""Models split over several GGUF files, as `llama-gguf-split` and the `gguf` package name them."""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.checkpoint.cursor import Cursor
from headrace.checkpoint.gguf_header import Header, TensorInfo, read_header
from headrace.checkpoint.mapping import map_file
from headrace.errors import MalformedFileError, SourceError

NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"

_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """One mapped GGUF file and its header."""

    path: Path
    data: mmap.mmap
    header: Header


def part_names(name: str) -> list[str]:
    """The files of the model of which the file `name` is a part, in order; else only `name`."""
    match = _NAME.fullmatch(name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return [name]
    count = match["count"]
    return [f"{match['stem']}-{number:05}-of-{count}.gguf" for number in range(1, int(count) + 1)]


def part_paths(path: Path) -> list[Path]:
    """As `part_names`, in the directory of `path`.

    Raises:
        SourceError: some are not there; the message names the first.
    """
    paths = [path.with_name(name) for name in part_names(path.name)]
    missing = [each for each in paths if not each.is_file()] if len(paths) > 1 else []
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise SourceError(
            f"part {missing[0].name}{others} of this model is missing",
            where=str(path.parent),
            hint=f"put all {len(paths)} parts into one directory",
        )
    return paths


def open_parts(path: Path) -> list[Part]:
    """Map all files of the model of which `path` is one, and check that they belong together.

    Raises:
        SourceError: a file is missing or cannot be opened; the message names it.
        MalformedFileError: a header contradicts itself, its file or the other parts.
        UnsupportedFormatError: another version, or big-endian.
    """
    parts = [_open(each) for each in part_paths(path)]
    for index, part in enumerate(parts):
        _check_place(part, index, len(parts))
    if len(parts) > 1:
        _check_tensors(parts)
    return parts


def _open(path: Path) -> Part:
    data = map_file(path)
    return Part(path, data, read_header(Cursor(path, data)))


def _check_place(part: Part, index: int, count: int) -> None:
    said, number = _number(part, COUNT, 1), _number(part, NUMBER, 0)
    if max(said, 1) != count:  # a whole model may say that it has 0 parts
        raise MalformedFileError(
            f"this file says that it is one of {said} parts, its name that it is one of {count}",
            where=str(part.path),
            hint="name each part NAME-00001-of-0000N.gguf, as it was published",
        )
    if number != index:
        raise MalformedFileError(
            f"this file is named as part {index + 1}, but says that it is part {number + 1}",
            where=str(part.path),
        )


def _number(part: Part, key: str, default: int) -> int:
    value = part.header.metadata.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedFileError(f"the value of '{key}' is not a number", where=str(part.path))
    return value


def _check_tensors(parts: Sequence[Part]) -> None:
    held: dict[str, Part] = {}
    for part in parts:
        for name, info in part.header.tensors.items():
            if name in held:
                raise _twice(info, part, held[name])
            held[name] = part
    for part in parts:
        said = _number(part, TENSORS, len(held))
        if said != len(held):
            raise MalformedFileError(
                f"this part says that the model has {said} tensors; the parts hold {len(held)}",
                where=str(part.path),
            )


def _twice(info: TensorInfo, part: Part, other: Part) -> MalformedFileError:
    return MalformedFileError(
        f"tensor '{info.name}' is also in {other.path.name}",
        where=f"{part.path}, byte {info.described_at}",
    )
