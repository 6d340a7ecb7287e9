"""Measured figures of a machine, kept from one run to the next."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import cast

from headrace.errors import CacheError
from headrace.machine.description import Machine

FILE_NAME = "machines.json"


def recall(directory: Path, machine: Machine) -> Machine:
    """The machine with the read bandwidth noted in `directory`, or unchanged when none is.

    Raises:
        CacheError: the note cannot be read.
    """
    bandwidth = _read(directory / FILE_NAME).get(_key(machine))
    return machine if bandwidth is None else machine.with_measured(read_bandwidth=bandwidth)


def remember(directory: Path, machine: Machine) -> None:
    """Note the machine's read bandwidth in `directory`, which is made when missing.

    Raises:
        CacheError: the note cannot be read or written.
    """
    path = directory / FILE_NAME
    notes = {**_read(path), _key(machine): machine.read_bandwidth}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps(notes, indent=1, sort_keys=True))
    except OSError as error:
        raise CacheError(f"cannot note the machine's figures: {error}", where=str(path)) from error


def _key(machine: Machine) -> str:
    return f"{machine.name} ({machine.cpu}), {machine.cores} cores"


def _read(path: Path) -> dict[str, float]:
    try:
        notes: object = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(notes, dict):
        raise _unreadable(path, "not a JSON object")
    entries = cast("dict[str, object]", notes)
    if not all(isinstance(value, int | float) and value > 0 for value in entries.values()):
        raise _unreadable(path, "a bandwidth is not a number above 0")
    return cast("dict[str, float]", entries)


def _unreadable(path: Path, reason: str) -> CacheError:
    return CacheError(
        f"the machine's noted figures cannot be read: {reason}",
        where=str(path),
        hint="delete the file; the figures are measured again",
    )


def _replace(path: Path, text: str) -> None:
    """Write beside and rename, so that a reader sees the old file or the new one."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
