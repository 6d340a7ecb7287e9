"""What a model is, in a few figures, from its headers alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast

from headrace.checkpoint.licence import printable, read_licence
from headrace.checkpoint.origin import noted_directory
from headrace.checkpoint.source import Source, open_checkpoint
from headrace.checkpoint.tensors import Checkpoint, TensorFacts
from headrace.errors import MalformedFileError

#: What families call the number of positions in `config.json`.
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


@dataclass(frozen=True, slots=True)
class Share:
    """The tensors of one format."""

    format: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A model's figures; None where the files do not say.

    Attributes:
        architecture: llama.cpp's name of the family in a GGUF file, transformers' in a directory.
        context: positions that the model was made for.
        shares: by storage format, the largest first.
    """

    architecture: str | None
    context: int | None
    licence: str | None
    shares: tuple[Share, ...]

    @property
    def parameters(self) -> int:
        return sum(each.parameters for each in self.shares)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.shares)


def summarise(source: Source) -> Summary:
    """Open a model and sum up its tensors; none is read.

    Raises:
        HeadraceError: the model cannot be opened.
    """
    checkpoint = open_checkpoint(source)
    shares = _shares(checkpoint)
    if source.kind == "gguf":
        return _gguf_summary(checkpoint, shares)
    return _directory_summary(source.path, shares)


def _shares(checkpoint: Checkpoint) -> tuple[Share, ...]:
    by_format: dict[str, list[TensorFacts]] = {}
    for name in checkpoint.names():
        facts = checkpoint.facts(name)
        by_format.setdefault(facts.format, []).append(facts)
    shares = (
        Share(format, len(each), sum(prod(f.shape) for f in each), sum(f.nbytes for f in each))
        for format, each in by_format.items()
    )
    return tuple(sorted(shares, key=lambda share: -share.bytes))


def _gguf_summary(checkpoint: Checkpoint, shares: tuple[Share, ...]) -> Summary:
    metadata = checkpoint.metadata
    architecture = _string(metadata.get("general.architecture"))
    context = _integer(metadata.get(f"{architecture}.context_length"))
    return Summary(architecture, context, _gguf_licence(checkpoint), shares)


def _gguf_licence(checkpoint: Checkpoint) -> str | None:
    for key in ("general.license.name", "general.license"):
        if named := _string(checkpoint.metadata.get(key)):
            return named
    # Files beside a GGUF file tell of it only where they were fetched together.
    directory = noted_directory(checkpoint.path)
    return None if directory is None else read_licence(directory)


def _directory_summary(directory: Path, shares: tuple[Share, ...]) -> Summary:
    config = _config(directory / "config.json")
    text = cast("object", config.get("text_config"))
    inner = cast("dict[str, Any]", text) if isinstance(text, dict) else config
    found = (_integer(inner.get(key)) for key in CONTEXT_KEYS)
    context = next((each for each in found if each is not None), None)
    architecture = _string(config.get("model_type"))
    return Summary(architecture, context, read_licence(directory), shares)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise MalformedFileError(f"the configuration is not JSON: {error}", where=str(path)) from (
            error
        )
    if not isinstance(config, dict):
        raise MalformedFileError("the configuration is no table", where=str(path))
    return cast("dict[str, Any]", config)


def _string(value: object) -> str | None:
    return printable(value) if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
