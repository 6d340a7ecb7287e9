"""Content digests of files, remembered so that a warm start does not read gigabytes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from headrace import cache
from headrace.errors import SourceError


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; from the memo if path, size, time and inode are unchanged.

    Raises:
        SourceError: the file cannot be read, or changes while it is read.
        CacheError: the memo cannot be written.
    """
    try:
        found = path.stat()
        remembered = _recall(path, found)
        if remembered is not None:
            return remembered
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = path.stat()
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    if _identity(path, after) != _identity(path, found):
        raise SourceError("the file changed while it was read", where=str(path))
    remember_digest(path, digest)
    return digest


def remember_digest(path: Path, digest: str) -> None:
    """Note the digest of a file whose bytes were just checked."""
    note = {"file": _identity(path, path.stat()), "sha256": digest}
    with cache.atomic_file(_note(path)) as file:
        file.write(json.dumps(note).encode())


def _recall(path: Path, found: os.stat_result) -> str | None:
    try:
        note = json.loads(_note(path).read_bytes())
        return str(note["sha256"]) if note["file"] == _identity(path, found) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _identity(path: Path, found: os.stat_result) -> list[str | int]:
    return [str(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ino]


def _note(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    return cache.memo() / f"{name}.json"
