"""Files and directories that a user asked for: whole or not there, and never over another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from headrace.errors import RequestError


@contextmanager
def new_file(target: Path, size: int) -> Generator[Path]:
    """A path to write about `size` bytes at, which becomes `target` when the block ends.

    Raises:
        RequestError: the target exists, its directory does not, or it cannot be written.
    """
    with _new(target, size) as temporary:
        path = temporary / target.name
        yield path
        _publish(path, target)


@contextmanager
def new_directory(target: Path, size: int) -> Generator[Path]:
    """As `new_file`, a directory to fill."""
    with _new(target, size) as temporary:
        path = temporary / target.name
        path.mkdir()
        yield path
        _publish(path, target)


def _publish(complete: Path, target: Path) -> None:
    refuse_existing(target)  # others may have written it meanwhile
    complete.rename(target)


@contextmanager
def _new(target: Path, size: int) -> Generator[Path]:
    """A directory beside the target for what is not complete."""
    refuse_existing(target)
    with _reported(target):
        free = shutil.disk_usage(target.parent).free
        if free < size:
            raise RequestError(
                f"the disk is full: {size} bytes are needed and {free} bytes are free",
                where=str(target.parent),
            )
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(target: Path) -> None:
    """Raises RequestError if there is something at `target`."""
    if os.path.lexists(target):
        raise RequestError(
            "there is something of that name, and it is not overwritten",
            where=str(target),
            hint="give another name, or remove it first",
        )


@contextmanager
def _reported(target: Path) -> Generator[None]:
    """Name the output in what the system says against writing it."""
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"the output cannot be written: {error.strerror or error}",
            where=str(error.filename or target),
        ) from error
