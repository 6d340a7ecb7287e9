"""The artifacts in the cache: which there are, and how they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace import cache
from headrace.build.artifact import About, Artifact, packed_path
from headrace.errors import CacheError


@dataclass(frozen=True, slots=True)
class Freed:
    """What a removal took away."""

    programs: int
    bytes: int


def list_artifacts() -> list[Artifact]:
    """Artifacts that can be read, in no order."""
    return [artifact for artifact, _ in _readable()]


def artifact_bytes(artifact: Artifact) -> int:
    """Bytes on disk, the packed weights left out: several programs may share them."""
    return sum(path.stat().st_size for path in artifact.path.iterdir())


def packed_bytes(key: str) -> int:
    """Bytes of packed weights on disk; 0 if there are none."""
    path = packed_path(key)
    return path.stat().st_size if path.exists() else 0


def remove_artifacts(name: str) -> Freed:
    """Remove every artifact of a model; `name` as `About.source`, or a path.

    Packed weights go with the last program that uses them.

    Raises:
        CacheError: they cannot be removed.
    """
    path = str(Path(name).expanduser().resolve())
    return _remove(lambda _, about: about.source in (name, path))


def remove_superseded(newest: Artifact) -> Freed:
    """Remove what an older headrace made of the same model with the same options."""
    wanted = _purpose(newest.about)
    return _remove(lambda each, about: each.key != newest.key and _purpose(about) == wanted)


def _purpose(about: About) -> tuple[object, ...]:
    choices = (about.workers, about.weights, about.profile, about.target)
    return (about.source, about.content, *choices)


def _readable() -> Iterator[tuple[Artifact, About]]:
    for path in cache.programs().iterdir():
        if path.is_dir() and not path.name.startswith("."):
            artifact = Artifact(path)
            try:
                yield artifact, artifact.about
            except CacheError:
                continue  # damaged, or just removed by another process


def _remove(chosen: Callable[[Artifact, About], bool]) -> Freed:
    doomed = [(each, about) for each, about in _readable() if chosen(each, about)]
    freed = sum(artifact_bytes(each) for each, _ in doomed)
    for artifact, _ in doomed:
        cache.remove_directory(artifact.path)
        _lock(artifact.path).unlink(missing_ok=True)
    used = {about.packed for _, about in _readable()}
    for key in {about.packed for _, about in doomed} - used:
        freed += packed_bytes(key)
        with cache.reported(cache.packed()):
            packed_path(key).unlink(missing_ok=True)
            _lock(packed_path(key)).unlink(missing_ok=True)
    return Freed(len(doomed), freed)


def _lock(entry: Path) -> Path:
    return entry.with_name(f".{entry.name}.lock")
