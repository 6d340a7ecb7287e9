"""Where a model in the cache came from: a note beside its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

NOTE = ".headrace.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """A commit of a hub repository.

    Attributes:
        revision: what was asked for; the default branch if None.
        commit: what that was when it was fetched.
    """

    repository: str
    revision: str | None
    commit: str


def write_origin(directory: Path, origin: Origin) -> None:
    (directory / NOTE).write_text(json.dumps(asdict(origin)))


def noted_directory(path: Path) -> Path | None:
    """The directory with a note that holds `path` or is it; None for a model from elsewhere."""
    return next((each for each in (path, *path.parents) if (each / NOTE).is_file()), None)


def read_origin(directory: Path) -> Origin | None:
    """The note in `directory`; None if there is none that can be read."""
    try:
        note = json.loads((directory / NOTE).read_bytes())
        return Origin(str(note["repository"]), note["revision"], str(note["commit"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
