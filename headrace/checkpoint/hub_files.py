"""Downloads from the hub that resume where they were interrupted and are checked to the byte.

The hub library keeps nothing of a file whose download was interrupted; here the bytes that came
wait under the file's hash, and the rest is asked for with a range request.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial as partial_of
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO
from urllib.parse import quote

from headrace.errors import SourceError

PARTIAL = ".partial"
AT_ONCE = 4
CHUNK = 1 << 20

_SHA1, _SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")

#: Writes a file of the repository from byte `start` on.
Receive = Callable[["HubFile", BinaryIO, int], None]


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository at one commit.

    Attributes:
        size: in bytes.
        digest: hexadecimal; SHA-256 of a large file, git's SHA-1 of its blob for a small one.
    """

    name: str
    size: int
    digest: str

    @property
    def is_sha256(self) -> bool:
        return _SHA256.fullmatch(self.digest) is not None

    @property
    def is_known(self) -> bool:
        """Whether what arrives can be checked."""
        return self.size >= 0 and (self.is_sha256 or _SHA1.fullmatch(self.digest) is not None)

    @property
    def partial_name(self) -> str:
        """What came of it waits under this name: only the same bytes can continue it."""
        return f"{self.digest}.{quote(self.name, safe='')}"

    def is_at(self, path: Path) -> bool:
        """Whether `path` holds exactly this file."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return self.digest_of(path) == self.digest

    def digest_of(self, path: Path) -> str:
        digest = hashlib.sha256() if self.is_sha256 else hashlib.sha1(usedforsecurity=False)
        if not self.is_sha256:
            digest.update(f"blob {path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


class _StoppedError(Exception):
    """Another file's download failed, or the user interrupted."""


class _Landing(io.BufferedWriter):
    """A partial file that reports each write, and refuses it when all is to stop."""

    def __init__(self, path: Path, stop: threading.Event, advance: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self._stop = stop
        self._advance = advance

    def write(self, buffer: bytes, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._stop.is_set():
            raise _StoppedError
        written = super().write(buffer)
        self.flush()  # what was received must survive an interrupt
        self._advance(written)
        return written


def download_files(
    files: Sequence[HubFile], directory: Path, receive: Receive, advance: Callable[[int], None]
) -> None:
    """Make `directory` hold exactly `files`, some at a time; what it holds already is kept.

    `advance` is told bytes, from several threads.

    Raises:
        SourceError: a file's size or hash is not what the hub says.
        Exception: what `receive` raises; what had come is kept for the next call.
    """
    partial = directory / PARTIAL
    partial.mkdir(exist_ok=True)
    _remove_others(directory, {each.name for each in files})
    stop = threading.Event()
    tasks = [partial_of(_download, each, directory, receive, stop, advance) for each in files]
    _run_all(tasks, stop)
    shutil.rmtree(partial)


def _run_all(tasks: Sequence[Callable[[], None]], stop: threading.Event) -> None:
    """Run tasks, some at a time, until one fails; `stop` is set in the end.

    The threads are daemons, so that an interrupt need not wait for a server that has stalled.
    """
    waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
    ended: SimpleQueue[Exception | None] = SimpleQueue()
    for task in tasks:
        waiting.put(task)
    for _ in range(min(AT_ONCE, len(tasks))):
        threading.Thread(target=_work, args=(waiting, ended, stop), daemon=True).start()
    try:
        for _ in tasks:
            error = ended.get()
            if error is not None:
                raise error
    finally:
        stop.set()


def _work(
    waiting: SimpleQueue[Callable[[], None]],
    ended: SimpleQueue[Exception | None],
    stop: threading.Event,
) -> None:
    while not stop.is_set():
        try:
            task = waiting.get_nowait()
        except Empty:
            return
        try:
            task()
        except Exception as error:
            ended.put(error)
        else:
            ended.put(None)


def _remove_others(directory: Path, names: set[str]) -> None:
    """Files of another commit, whose download was interrupted."""
    for path in directory.rglob("*"):
        inside = path.relative_to(directory)
        if path.is_file() and inside.parts[0] != PARTIAL and inside.as_posix() not in names:
            path.unlink()


def _download(
    file: HubFile,
    directory: Path,
    receive: Receive,
    stop: threading.Event,
    advance: Callable[[int], None],
) -> None:
    target = directory / file.name
    if file.is_at(target):
        advance(file.size)
        return
    partial = directory / PARTIAL / file.partial_name
    with _Landing(partial, stop, advance) as landing:
        start = partial.stat().st_size
        if start > file.size:
            landing.truncate(0)
            start = 0
        advance(start)
        if start < file.size:
            receive(file, landing, start)
    _require_whole(file, partial)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)


def _require_whole(file: HubFile, partial: Path) -> None:
    found = partial.stat().st_size
    if found == file.size:
        digest = file.digest_of(partial)
        if digest == file.digest:
            return
        kind = "SHA-256" if file.is_sha256 else "git hash"
        what = f"its {kind} is {digest}, not {file.digest}"
    else:
        what = f"it has {found} bytes, not {file.size}"
    partial.unlink()
    raise SourceError(
        f"{file.name} did not arrive as the hub holds it: {what}",
        hint="nothing of it was kept; try again, and if it happens again ask who runs the proxy",
    )
