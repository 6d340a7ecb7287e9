"""Memory for the native program: page-aligned, in huge pages where the system gives them."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.errors import CacheError, MachineError

_HUGE_PAGE = 2 << 20


class Memory:
    """Zeroed anonymous memory, aligned to 2 MiB.

    Raises:
        MachineError: the system does not give that much.
    """

    def __init__(self, bytes: int) -> None:
        self.bytes = bytes
        try:
            # Shared memory would have huge pages only where the system gives them to files.
            self._map = mmap.mmap(-1, bytes + _HUGE_PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, ValueError) as error:
            raise MachineError(
                f"no memory for {bytes / 1e9:.2f} GB: {error}",
                hint="a smaller context, fewer workers, or a smaller model",
            ) from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._advise(mmap.MADV_HUGEPAGE)
        self._advise(mmap.MADV_DONTFORK)  # a child has no workers, and its parent need not copy
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._offset = -start % _HUGE_PAGE
        self.address = start + self._offset

    def _advise(self, advice: int) -> None:
        try:
            self._map.madvise(advice)
        except OSError:
            return  # a kernel without huge pages runs the same program, more slowly

    def view(self) -> NDArray[np.uint8]:
        """The memory as bytes."""
        return np.frombuffer(self._map, np.uint8, self.bytes, self._offset)


def read_file(path: Path, start: int, bytes: int) -> Memory:
    """A part of a file, copied into memory of its own.

    Raises:
        CacheError: the file is shorter than it was when it was written.
    """
    memory = Memory(bytes)
    view = memory.view().data
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        done = 0
        while done < bytes:
            count = file.readinto(view[done:])
            if not count:
                raise CacheError(
                    f"packed weights end after {start + done} bytes of {start + bytes}",
                    where=str(path),
                    hint="remove the file; it is made again from the model",
                )
            done += count
    return memory


def map_file(path: Path, start: int, bytes: int) -> NDArray[np.uint8]:
    """A part of a file, read only, in the page cache: for bytes that are rarely touched."""
    return np.memmap(path, np.uint8, "r", offset=start, shape=(bytes,))
