"""A read position in a mapped little-endian file that never passes the end."""

from __future__ import annotations

import mmap
from pathlib import Path
from struct import Struct

import numpy as np
from numpy.typing import DTypeLike, NDArray

from headrace.errors import MalformedFileError

U32 = Struct("<I")
U64 = Struct("<Q")

MAX_STRINGS = 1 << 24
"""No vocabulary comes near; it bounds the time a forged count can cost in a huge file."""


class Cursor:
    """Reads values in file order; each length is compared with what is left before it is used."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.position = 0

    def malformed(self, what: str, at: int | None = None) -> MalformedFileError:
        """The error to raise about byte `at` (default: here)."""
        offset = self.position if at is None else at
        return MalformedFileError(what, where=f"{self.path}, byte {offset}")

    def need(self, length: int, what: str) -> int:
        """Step over `length` bytes and give the offset where they start."""
        start = self.position
        left = self.size - start
        if length > left:
            raise self.malformed(
                f"the file ends within {what}: {length} bytes are needed, {left} are left"
            )
        self.position = start + length
        return start

    def number(self, layout: Struct, what: str) -> int | float:
        return layout.unpack_from(self.data, self.need(layout.size, what))[0]

    def u32(self, what: str) -> int:
        return U32.unpack_from(self.data, self.need(4, what))[0]

    def u64(self, what: str) -> int:
        return U64.unpack_from(self.data, self.need(8, what))[0]

    def count(self, what: str, least_bytes: int) -> int:
        """A number of things of at least `least_bytes` each, which must fit in what is left."""
        at = self.position
        count = self.u64(what)
        if count * least_bytes > self.size - self.position:
            raise self.malformed(f"{what} is {count}, more than the file can hold", at)
        return count

    def string(self, what: str, longest: int | None = None) -> str:
        at = self.position
        length = self.u64(what)
        if longest is not None and length > longest:
            raise self.malformed(f"{what} has {length} bytes, more than {longest}", at)
        start = self.need(length, what)
        try:
            return str(self.data[start : self.position], "utf-8")
        except UnicodeDecodeError as error:
            raise self.malformed(f"{what} is not UTF-8", start + error.start) from error

    def strings(self, count: int, what: str) -> list[str]:
        """`count` strings, in a loop written for speed: vocabularies are most of a header."""
        if count > MAX_STRINGS:
            raise self.malformed(f"{what} has {count} strings, more than {MAX_STRINGS}")
        data, size, unpack = self.data, self.size, U64.unpack_from
        position = start = self.position
        found: list[str] = []
        try:
            for _ in range(count):
                start = position + 8
                if start > size:
                    raise self.malformed(f"the file ends within {what}", position)
                end = start + unpack(data, position)[0]
                if end > size:
                    raise self.malformed(f"a string of {what} passes the end of the file", position)
                found.append(str(data[start:end], "utf-8"))
                position = end
        except UnicodeDecodeError as error:
            raise self.malformed(f"a string of {what} is not UTF-8", start + error.start) from error
        self.position = position
        return found

    def array(self, dtype: DTypeLike, count: int, what: str) -> NDArray[np.generic]:
        """`count` numbers as a read-only view of the file."""
        layout: np.dtype[np.generic] = np.dtype(dtype)
        start = self.need(count * layout.itemsize, what)
        return np.frombuffer(self.data, layout, count, start)
