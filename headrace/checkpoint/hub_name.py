"""Names of models on the Hugging Face hub, and which of a repository's files one needs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from headrace.checkpoint.gguf_parts import part_names

PREFIX = "hf:"

_ID = re.compile(
    r"(?:hf:)?(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>[\w.-]+(?:/[\w.-]+)*))?"
    r"(?::(?P<file>[\w.-]+(?:/[\w.-]+)*\.gguf))?"
)
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
ABOUT = ("README.md", "LICENSE*")
WANTED = (
    *WEIGHTS,
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "quantize_config.json",
    "quant_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
    *ABOUT,
)


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository of the hub, and one GGUF model in it if `file` is given.

    Attributes:
        revision: a branch, tag or commit; the default branch if None.
        file: a GGUF file, or the first part of a split one.
    """

    repo: str
    file: str | None = None
    revision: str | None = None

    @property
    def name(self) -> str:
        """The one name under which the model is cached."""
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{self.repo}{revision}" + ("" if self.file is None else f":{self.file}")

    @property
    def parts(self) -> list[str]:
        """The GGUF files wanted, in order; none for a whole repository."""
        if self.file is None:
            return []
        directory, slash, name = self.file.rpartition("/")
        return [f"{directory}{slash}{part}" for part in part_names(name)]

    def wants(self, name: str) -> bool:
        """Whether a file of the repository is needed; beside GGUF files only what tells of them."""
        if name in self.parts:
            return True
        patterns = WANTED if self.file is None else ABOUT
        return "/" not in name and any(fnmatchcase(name, pattern) for pattern in patterns)


def parse_hub(text: str) -> HubModel | None:
    """The hub model that `text` names, or None if it has not the form of one."""
    match = _ID.fullmatch(text)
    if match is None or ".." in text:
        return None
    model = HubModel(match["repo"], match["file"], match["revision"])
    return replace(model, file=model.parts[0]) if model.file is not None else model


def canonical_name(text: str) -> str:
    """The name under which the cache knows what a user typed."""
    model = parse_hub(text)
    return text if model is None else model.name
