"""Where a model comes from: what a user types → a file or directory on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

from headrace import cache
from headrace.checkpoint.digest import file_digest
from headrace.checkpoint.gguf import open_gguf
from headrace.checkpoint.gguf_parts import part_paths
from headrace.checkpoint.places import Source, place_of
from headrace.checkpoint.progress import NoProgress, Progress
from headrace.checkpoint.safetensors import weight_files
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import SourceError

__all__ = ["Source", "find", "fingerprint", "open_checkpoint", "resolve"]

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
    place = place_of(source) if isinstance(source, str) else None
    if place is None:
        return _local(Path(source).expanduser(), str(source))
    if not place.source.path.exists():
        with cache.entry_lock(place.entry):
            if not place.source.path.exists():  # another process may have made it meanwhile
                place.make(progress if progress is not None else NoProgress())
    return place.source


def find(source: str | Path) -> Source:
    """As `resolve`, but nothing is fetched or generated.

    Raises:
        SourceError: nothing of that name, or it is not in the cache.
    """
    place = place_of(source) if isinstance(source, str) else None
    if place is None:
        return _local(Path(source).expanduser(), str(source))
    if not place.source.path.exists():
        name = place.source.name
        raise SourceError(
            f"the model '{name}' is not in the cache", hint=f"headrace pull {name} fetches it"
        )
    return place.source


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


def open_checkpoint(source: Source) -> Checkpoint:
    """Open what `resolve` found.

    Raises:
        MalformedFileError: a file contradicts its format or its size.
        UnsupportedFormatError: a version or layout that is not read.
    """
    if source.kind == "gguf":
        return open_gguf(source.path)
    from headrace.checkpoint.quantised import open_directory

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
