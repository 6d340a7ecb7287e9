"""Files mapped for reading: nothing is copied, and what was read can be let go."""

from __future__ import annotations

import mmap
from pathlib import Path

from headrace.errors import MalformedFileError, SourceError


def map_file(path: Path) -> mmap.mmap:
    """The whole of a regular, non-empty file, mapped for reading.

    Raises:
        SourceError: it cannot be opened.
        MalformedFileError: it is empty.
    """
    try:
        if not path.is_file():
            raise SourceError("there is no such file", where=str(path))
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise MalformedFileError("the file is empty", where=f"{path}, byte 0")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def release_pages(data: mmap.mmap) -> None:
    """Take the pages read so far out of this process; views stay valid and read them again.

    They stay in the system's file cache while there is room. Where the system offers no such
    advice (macOS drops clean pages on its own) this does nothing.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)
