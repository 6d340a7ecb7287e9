"""The user's cache on disk: private directories, whole-or-nothing writes, one writer an entry.

Everything in it can be made again, so there is no index and no repair: an entry is complete
if it exists under its final name.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from headrace.errors import CacheError

ENVIRONMENT_VARIABLE = "HEADRACE_CACHE"
PRIVATE = 0o700
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def root() -> Path:
    """The cache's directory: $HEADRACE_CACHE, else the platform's user cache."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("headrace", appauthor=False))


def models() -> Path:
    """Model files, one entry a model."""
    return _private(root() / "models")


def programs() -> Path:
    """Compiled programs, by content address."""
    return _private(root() / "programs")


def packed() -> Path:
    """Packed weights, by content address."""
    return _private(root() / "packed")


def memo() -> Path:
    """Small facts about files elsewhere, such as their digests."""
    return _private(root() / "memo")


def _private(directory: Path) -> Path:
    """Create `directory` for this user only; code is loaded from here, so nobody else may write."""
    with reported(directory):
        directory.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        directory.mkdir(mode=PRIVATE, exist_ok=True)
        found = directory.stat()
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if found.st_uid != os.geteuid() or shared:
        raise CacheError(
            "other users can write into the cache",
            where=str(directory),
            hint=f"chmod 700 it, or set {ENVIRONMENT_VARIABLE} to a directory of your own",
        )
    return directory


def require_space(directory: Path, needed: int) -> None:
    """Raise `CacheError` if fewer than `needed` bytes are free where `directory` lies."""
    with reported(directory):
        free = shutil.disk_usage(directory).free
    if free < needed:
        raise _full(directory, needed, free)


@contextmanager
def atomic_path(target: Path) -> Generator[Path]:
    """A path to write a file at, for writers that open it themselves; it becomes `target` when the
    block ends, or nothing remains.

    Raises:
        CacheError: the file cannot be written; a full disk is named as such.
    """
    with reported(target.parent):
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(target)
            _sync_directory(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_file(target: Path, size: int | None = None) -> Generator[BinaryIO]:
    """Write a file that appears as `target` when the block ends, or not at all.

    Args:
        size: bytes it will have, where known: they are reserved first, so that a full disk is an
            error here and not a bus error in a later write through a mapping.

    Raises:
        CacheError: the file cannot be written; a full disk names the bytes concerned.
    """
    if size is not None:
        require_space(target.parent, size)
    with atomic_path(target) as temporary, temporary.open("w+b") as file:
        if size:
            with reported(target.parent, size):
                os.posix_fallocate(file.fileno(), 0, size)
        yield file


@contextmanager
def atomic_directory(target: Path) -> Generator[Path]:
    """Fill a directory that appears as `target` when the block ends, or not at all.

    If `target` has come to exist meanwhile it is kept and the new one dropped: entries are named
    by their content.

    Raises:
        CacheError: it cannot be written; a full disk names the bytes concerned.
    """
    with reported(target.parent):
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield temporary
            publish_directory(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def publish_directory(complete: Path, target: Path) -> None:
    """Make the finished directory `complete` appear as `target`, its bytes on disk first."""
    with reported(target.parent):
        for path in complete.rglob("*"):
            _sync(path)
        _sync(complete)
        if not target.exists():
            complete.rename(target)
        _sync_directory(target.parent)


def remove_directory(directory: Path) -> None:
    """Delete an entry: at once under its name, then its bytes."""
    if not directory.exists():
        return
    with reported(directory.parent):
        doomed = Path(tempfile.mkdtemp(prefix=".removed.", dir=directory.parent))
        directory.rename(doomed / directory.name)
        shutil.rmtree(doomed)


@contextmanager
def entry_lock(target: Path, waiting: Callable[[], None] | None = None) -> Generator[None]:
    """Hold the lock of the entry `target` among all processes, e.g. while compiling it.

    Look again whether the entry exists after entering: another process may have made it.

    Args:
        waiting: called once if another holder makes us wait.

    Raises:
        CacheError: the lock file cannot be written.
    """
    import filelock

    with reported(target.parent):
        lock = filelock.FileLock(target.with_name(f".{target.name}.lock"), mode=0o600)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reported(directory: Path, needed: int | None = None) -> Generator[None]:
    """Turn a full disk, and any failure on a path within `directory`, into `CacheError`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise _full(directory, needed, shutil.disk_usage(_existing(directory)).free) from error
        if not _concerns(error, directory):
            raise
        raise CacheError(
            f"the cache cannot be used: {error.strerror}",
            where=str(error.filename),
            hint=f"make it writable, or set {ENVIRONMENT_VARIABLE} to another directory",
        ) from error


def _concerns(error: OSError, directory: Path) -> bool:
    named: object = error.filename
    if not isinstance(named, str | Path):
        return False
    failed = Path(named)
    return failed == directory or directory in failed.parents or failed in directory.parents


def _existing(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if path.exists())


def _full(directory: Path, needed: int | None, free: int) -> CacheError:
    wanted = "" if needed is None else f"{needed} bytes are needed and "
    return CacheError(
        f"the disk of the cache is full: {wanted}{free} bytes are free",
        where=str(directory),
        hint=f"free some space (headrace rm MODEL), or set {ENVIRONMENT_VARIABLE} to another disk",
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    """Make a rename in `path` last, where the file system can sync a directory."""
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
