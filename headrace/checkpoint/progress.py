"""What a long step tells whoever is watching."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

POLL_SECONDS = 0.1


class Progress(Protocol):
    """Receives one step at a time: start, any number of advances, done.

    Calls may come from another thread than the one that waits for the result.
    """

    def start(self, label: str, total_bytes: int | None) -> None: ...

    def advance(self, byte_count: int) -> None: ...

    def done(self) -> None: ...


class NoProgress:
    """Tells nobody."""

    def start(self, label: str, total_bytes: int | None) -> None:
        pass

    def advance(self, byte_count: int) -> None:
        pass

    def done(self) -> None:
        pass


@contextmanager
def step(progress: Progress, label: str, total_bytes: int | None) -> Generator[None]:
    """A step from its start to its end, whichever way it ends."""
    progress.start(label, total_bytes)
    try:
        yield
    finally:
        progress.done()


@contextmanager
def bytes_landing(
    progress: Progress, label: str, directory: Path, total_bytes: int | None
) -> Generator[None]:
    """Report the growth of `directory` while another program or library downloads into it."""
    finished = threading.Event()
    arguments = (progress, directory, total_bytes, finished)
    watcher = threading.Thread(target=_watch, args=arguments, daemon=True)
    with step(progress, label, total_bytes):
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()


def _watch(
    progress: Progress, directory: Path, total_bytes: int | None, finished: threading.Event
) -> None:
    seen = 0
    last = False
    while not last:
        last = finished.wait(POLL_SECONDS)
        size = directory_bytes(directory)
        if total_bytes is not None:
            size = min(size, total_bytes)  # a downloader may hold a file twice while it copies
        if size > seen:
            progress.advance(size - seen)
            seen = size


def directory_bytes(directory: Path) -> int:
    """Bytes of all files below `directory`; files that vanish meanwhile count nothing."""
    total = 0
    for path in directory.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
        except OSError:
            continue
    return total
