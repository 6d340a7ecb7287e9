"""The artifacts in the cache: which there are, and how they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace import cache
from headrace.build.artifact import About, Artifact, packed_path
from headrace.build.key import toolchain
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
    return _remove(lambda about: about.source in (name, path))


def remove_superseded(newest: Artifact) -> Freed:
    """Remove what was made of the same model as it was before, or by another headrace."""
    made = newest.about

    def is_superseded(about: About) -> bool:
        current = (about.toolchain, about.content) == (made.toolchain, made.content)
        return about.source == made.source and not current

    return _remove(is_superseded)


def stale() -> Freed:
    """What `remove_stale` would take away."""
    programs = _stale_programs()
    size = sum(map(artifact_bytes, programs)) + sum(map(packed_bytes, _unused(programs)))
    return Freed(len(programs), size)


def remove_stale() -> Freed:
    """Remove programs that this headrace cannot use, and packed weights that no program uses.

    Raises:
        CacheError: they cannot be removed.
    """
    programs = _stale_programs()
    return _remove_all(programs, _unused(programs))


def _stale_programs() -> list[Artifact]:
    """Programs of another toolchain, and what cannot be read."""
    fresh = {each.key for each, about in _readable() if about.toolchain == toolchain()}
    return [each for each in _programs() if each.key not in fresh]


def _unused(without: Sequence[Artifact]) -> set[str]:
    """Keys of packed weights that no program uses, or only those in `without`."""
    gone = {artifact.key for artifact in without}
    used = {about.packed for each, about in _readable() if each.key not in gone}
    return {path.stem for path in cache.packed().glob("[!.]*.weights")} - used


def _programs() -> Iterator[Artifact]:
    for path in cache.programs().iterdir():
        if path.is_dir() and not path.name.startswith("."):
            yield Artifact(path)


def _readable() -> Iterator[tuple[Artifact, About]]:
    for artifact in _programs():
        try:
            yield artifact, artifact.about
        except CacheError:
            continue  # damaged, or just removed by another process


def _remove(chosen: Callable[[About], bool]) -> Freed:
    """Remove programs, and the packed weights that they alone use."""
    doomed = [(each, about) for each, about in _readable() if chosen(about)]
    programs = [each for each, _ in doomed]
    return _remove_all(programs, {about.packed for _, about in doomed} & _unused(programs))


def _remove_all(programs: Sequence[Artifact], packed: set[str]) -> Freed:
    freed = sum(map(artifact_bytes, programs)) + sum(map(packed_bytes, packed))
    for artifact in programs:
        cache.remove_directory(artifact.path)
        _lock(artifact.path).unlink(missing_ok=True)
    for key in packed:
        with cache.reported(cache.packed()):
            packed_path(key).unlink(missing_ok=True)
            _lock(packed_path(key)).unlink(missing_ok=True)
    return Freed(len(programs), freed)


def _lock(entry: Path) -> Path:
    return entry.with_name(f".{entry.name}.lock")
