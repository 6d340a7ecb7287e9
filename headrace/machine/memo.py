"""Measured figures of a machine, kept from one run to the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from headrace import cache
from headrace.errors import CacheError
from headrace.machine.description import Machine

FILE_NAME = "machines.json"


def recall(machine: Machine, directory: Path | None = None) -> Machine:
    """The machine with the read bandwidth noted for it, or unchanged when none is.

    Args:
        directory: where notes are kept, None for the cache.

    Raises:
        CacheError: the note cannot be read.
    """
    path = (directory or cache.memo()) / FILE_NAME
    bandwidth = _read(path).get(_key(machine))
    return machine if bandwidth is None else machine.with_measured(read_bandwidth=bandwidth)


def remember(machine: Machine, directory: Path | None = None) -> None:
    """Note the machine's read bandwidth; `directory` as in `recall`.

    Raises:
        CacheError: the note cannot be read or written.
    """
    path = (directory or cache.memo()) / FILE_NAME
    notes = {**_read(path), _key(machine): machine.read_bandwidth}
    with cache.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(notes, indent=1, sort_keys=True), "utf-8")


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
