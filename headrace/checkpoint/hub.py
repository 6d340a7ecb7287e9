"""Fetching models of the Hugging Face hub: only the files needed, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from headrace import cache
from headrace.checkpoint.digest import remember_digest
from headrace.checkpoint.hub_errors import http_status, hub_error
from headrace.checkpoint.hub_files import HubFile, download_files
from headrace.checkpoint.hub_name import WEIGHTS, HubModel
from headrace.checkpoint.origin import Origin, write_origin
from headrace.checkpoint.progress import Progress, step
from headrace.checkpoint.store import partial_entry
from headrace.errors import SourceError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is to be fetched of a repository, at one commit."""

    commit: str
    files: Sequence[HubFile]


def fetch_hub(model: HubModel, entry: Path, progress: Progress) -> None:
    """Make the directory `entry` hold the model's files; it appears whole or not at all.

    An interrupted download is kept beside it under a hidden name and resumed by the next call.
    Each file's size and hash are those that the hub tells.

    Raises:
        SourceError: the repository, revision or file is missing, gated, out of reach or damaged.
        CacheError: the files cannot be written.
    """
    snapshot = _snapshot(model)
    staging = partial_entry(entry)
    with cache.reported(entry.parent):
        staging.mkdir(mode=cache.PRIVATE, exist_ok=True)
        total = sum(each.size for each in snapshot.files)
        cache.require_space(staging, total - _held(staging))
        _download(model, snapshot, staging, progress, total)
        write_origin(staging, Origin(model.repo, model.revision, snapshot.commit))
        cache.publish_directory(staging, entry)
    for each in snapshot.files:
        if each.is_sha256:
            remember_digest(entry / each.name, each.digest)


def _held(staging: Path) -> int:
    return sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())


def _snapshot(model: HubModel) -> Snapshot:
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(model.repo, revision=model.revision, files_metadata=True)
    except Exception as error:
        raise hub_error(model, error) from error
    siblings = found.siblings or []
    _require_files(model, [each.rfilename for each in siblings])
    files = [_hub_file(each) for each in siblings if model.wants(each.rfilename)]
    if found.sha is None:
        raise SourceError("the hub does not name the commit", where=f"hub repository {model.repo}")
    return Snapshot(found.sha, files)


def _hub_file(found: RepoSibling) -> HubFile:
    digest = found.lfs.sha256 if found.lfs is not None else found.blob_id
    size = found.lfs.size if found.lfs is not None else found.size
    file = HubFile(found.rfilename, -1 if size is None else size, digest or "")
    if not file.is_known:
        raise SourceError(
            f"the hub does not say size and hash of {file.name}, so it cannot be checked"
        )
    return file


def _require_files(model: HubModel, names: Sequence[str]) -> None:
    needed = model.parts or ["config.json"]
    missing = [name for name in needed if name not in names]
    if missing:
        ggufs = [name for name in names if name.endswith(".gguf")]
        raise SourceError(
            f"the repository {model.repo} has no file '{missing[0]}'",
            hint=_gguf_hint(model, ggufs),
        )
    if model.file is None and not any(fnmatchcase(n, each) for n in names for each in WEIGHTS):
        raise SourceError(
            f"the repository {model.repo} has no safetensors weights",
            hint="weights in pickle files (.bin, .pt) are never loaded; look for a conversion",
        )


def _gguf_hint(model: HubModel, ggufs: Sequence[str]) -> str:
    if not ggufs:
        return "take a repository with config.json and safetensors, or with GGUF files"
    named = ", ".join(HubModel(model.repo, name, model.revision).name for name in ggufs[:8])
    return f"name one of its GGUF files: {named}"


def _download(
    model: HubModel, snapshot: Snapshot, staging: Path, progress: Progress, total: int
) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import (
        http_get,  # pyright: ignore[reportUnknownVariableType]
    )
    from huggingface_hub.utils import (
        build_hf_headers,  # pyright: ignore[reportUnknownVariableType]
        disable_progress_bars,
    )

    # Compressed on the way, a file could not be resumed: ranges count the bytes as sent.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    disable_progress_bars("huggingface_hub.http_get")

    def receive(file: HubFile, landing: BinaryIO, start: int) -> None:
        url = hf_hub_url(model.repo, file.name, revision=snapshot.commit)
        try:
            http_get(url, landing, resume_size=start, headers=headers, expected_size=file.size)
        except OSError as error:
            if not _says_too_short(error):
                raise

    try:
        with step(progress, f"downloading {model.name}", total):
            download_files(snapshot.files, staging, receive, progress.advance)
    except Exception as error:
        raise hub_error(model, error) from error


def _says_too_short(error: OSError) -> bool:
    """Whether the server ended a file too early as if it were whole: the check of the file tells
    that better than the library, which raises a bare `OSError`, or on resuming HTTP 416."""
    bare = type(error) is OSError and error.errno is None
    return bare or http_status(error) == 416
