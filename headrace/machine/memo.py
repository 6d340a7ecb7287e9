"""Measured figures of a machine, kept from one run to the next."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from headrace import cache
from headrace.errors import CacheError, MachineError
from headrace.machine.description import Machine, Rates
from headrace.machine.host import Host

FILE_NAME = "figures.json"


def recall(machine: Machine, directory: Path | None = None) -> Machine:
    """The machine with the figures noted for it, or unchanged when there are none.

    Args:
        directory: where notes are kept, None for the cache.

    Raises:
        CacheError: the note cannot be read.
    """
    path = (directory or cache.memo()) / FILE_NAME
    noted = _read(path).get(_key(machine.name, machine.cpu, machine.cores))
    if noted is None:
        return machine
    try:
        return machine.with_measured(
            read_bandwidth=float(noted["read_bandwidth"]),
            token_exchange_s=float(noted["token_exchange_s"]),
            rates=Rates(**noted["rates"]),
        )
    except (KeyError, TypeError, ValueError, MachineError) as error:
        raise _unreadable(path, str(error)) from error


def recall_workers(host: Host, directory: Path | None = None) -> int:
    """The workers noted for a host, or one a core; arguments and errors as `recall`."""
    path = (directory or cache.memo()) / FILE_NAME
    noted = _read(path).get(_key(host.model, host.cpu, host.cores), {}).get("workers", host.cores)
    if type(noted) is not int or not 1 <= noted <= host.cores:
        raise _unreadable(path, f"{noted!r} workers on {host.cores} cores")
    return noted


def remember(
    machine: Machine, directory: Path | None = None, *, workers: int | None = None
) -> None:
    """Note the machine's measured figures; `directory` as in `recall`.

    Args:
        workers: how many work best, where that was measured.

    Raises:
        CacheError: the note cannot be read or written.
    """
    path = (directory or cache.memo()) / FILE_NAME
    figures: dict[str, object] = {
        "read_bandwidth": machine.read_bandwidth,
        "token_exchange_s": machine.token_exchange_s,
        "rates": asdict(machine.rates),
    }
    if workers is not None:
        figures["workers"] = workers
    notes = _read(path)
    key = _key(machine.name, machine.cpu, machine.cores)
    notes[key] = {**notes.get(key, {}), **figures}
    with cache.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(notes, indent=1, sort_keys=True), "utf-8")


def _key(name: str, cpu: str | None, cores: int) -> str:
    return f"{name} ({cpu}), {cores} cores"


def _read(path: Path) -> dict[str, Any]:
    try:
        notes: object = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(notes, dict):
        raise _unreadable(path, "not a JSON object")
    return cast("dict[str, Any]", notes)


def _unreadable(path: Path, reason: str) -> CacheError:
    return CacheError(
        f"the machine's noted figures cannot be read: {reason}",
        where=str(path),
        hint="delete the file; the figures are measured again",
    )
