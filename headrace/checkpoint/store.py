"""The models in the cache: where each lies, what there is, and how it goes."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote, unquote

from headrace import cache
from headrace.checkpoint.progress import directory_bytes
from headrace.errors import SourceError


@dataclass(frozen=True, slots=True)
class CachedModel:
    """An entry of the cache; `bytes` on disk."""

    name: str
    path: Path
    bytes: int


def entry_of(name: str) -> Path:
    """The directory of the model `name`, whether it exists or not."""
    return cache.models() / quote(name, safe="@:+")


def partial_entry(entry: Path) -> Path:
    """Where an interrupted download of `entry` waits to be resumed."""
    return entry.with_name(f".{entry.name}.partial")


def list_models() -> list[CachedModel]:
    """Models in the cache, by name."""
    entries = sorted(path for path in cache.models().iterdir() if not path.name.startswith("."))
    listed = [CachedModel(unquote(path.name), path, directory_bytes(path)) for path in entries]
    return [each for each in listed if each.bytes]


def remove(name: str) -> CachedModel:
    """Delete a model from the cache, also the rest of an interrupted download.

    Raises:
        SourceError: the cache holds no model of that name.
    """
    entry = entry_of(name)
    partial = partial_entry(entry)
    found = any(each.name == name for each in list_models())
    if not found and not partial.exists():
        raise _not_cached(name)
    with cache.entry_lock(entry):
        freed = CachedModel(name, entry, directory_bytes(entry) + directory_bytes(partial))
        cache.remove_directory(entry)
        cache.remove_directory(partial)
    return freed


def _not_cached(name: str) -> SourceError:
    held = [each.name for each in list_models()]
    near = get_close_matches(name, held, 1)
    hint = f"did you mean {near[0]}?" if near else f"in the cache: {', '.join(held) or 'nothing'}"
    return SourceError(f"the cache holds no model '{name}'", hint=hint)
