"""Models of the Hugging Face hub: `owner/name`, or `owner/name:file.gguf` for one GGUF file."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from headrace import cache
from headrace.checkpoint.progress import Progress, bytes_landing
from headrace.errors import SourceError

_ID = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(:(?P<file>[\w.-]+(/[\w.-]+)*\.gguf))?"
)
WANTED = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
    "model*.safetensors",
    "model.safetensors.index.json",
)


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository of the hub, and one GGUF file in it if `file` is given."""

    repo: str
    file: str | None

    def wants(self, name: str) -> bool:
        if self.file is not None:
            return name == self.file
        return "/" not in name and any(fnmatchcase(name, pattern) for pattern in WANTED)


def parse_hub(text: str) -> HubModel | None:
    """The hub model that `text` names, or None if it has not the form of one."""
    match = _ID.fullmatch(text)
    if match is None or ".." in text:
        return None
    return HubModel(match["repo"], match["file"])


def fetch_hub(model: HubModel, entry: Path, progress: Progress) -> None:
    """Make the directory `entry` hold the model's files; it appears whole or not at all.

    An interrupted download is kept beside it under a hidden name and resumed by the next call.

    Raises:
        SourceError: the repository or file is missing, gated, or out of reach.
        CacheError: the files cannot be written.
    """
    sizes = _sizes(model)
    staging = partial_entry(entry)
    with cache.reported(entry.parent):
        staging.mkdir(mode=cache.PRIVATE, exist_ok=True)
        total = sum(sizes.values())
        cache.require_space(staging, total)
        with bytes_landing(progress, f"downloading {model.repo}", staging, total):
            _snapshot(model, sorted(sizes), staging)
        shutil.rmtree(staging / ".cache", ignore_errors=True)
        cache.publish_directory(staging, entry)


def partial_entry(entry: Path) -> Path:
    """Where an interrupted download of `entry` waits to be resumed."""
    return entry.with_name(f".{entry.name}.partial")


def _sizes(model: HubModel) -> dict[str, int]:
    """Name and bytes of each file to fetch."""
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(model.repo, files_metadata=True).siblings or []
    except Exception as error:
        raise _hub_error(model, error) from error
    sizes = {each.rfilename: each.size or 0 for each in found if model.wants(each.rfilename)}
    needed = model.file or "config.json"
    if needed not in sizes:
        ggufs = [each.rfilename for each in found if each.rfilename.endswith(".gguf")]
        raise SourceError(
            f"the repository {model.repo} has no file '{needed}'",
            hint=_gguf_hint(model, ggufs),
        )
    return sizes


def _gguf_hint(model: HubModel, ggufs: list[str]) -> str:
    if not ggufs:
        return "take a repository with config.json and safetensors, or with GGUF files"
    named = ", ".join(f"{model.repo}:{name}" for name in ggufs[:8])
    return f"name one of its GGUF files: {named}"


def _snapshot(model: HubModel, names: list[str], directory: Path) -> None:
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]

    try:
        snapshot_download(model.repo, allow_patterns=names, local_dir=directory)
    except Exception as error:
        raise _hub_error(model, error) from error


def _hub_error(model: HubModel, error: Exception) -> Exception:
    """The hub library raises its own errors, those of its HTTP client, and `OSError`."""
    from huggingface_hub import errors

    if isinstance(error, OSError) and error.errno in cache.FULL:
        return error
    where = f"hub repository {model.repo}"
    if isinstance(error, errors.GatedRepoError):
        hint = "accept the model's terms on its page, then log in: hf auth login"
        return SourceError("this model is gated", where=where, hint=hint)
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "check owner and name; for a private model log in: hf auth login"
        return SourceError("the hub knows no such model", where=where, hint=hint)
    hint = "check the network; or pass the path of a local model"
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return SourceError(f"the hub cannot be reached: {reason}", where=where, hint=hint)
