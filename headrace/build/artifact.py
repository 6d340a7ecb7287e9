"""A compiled model on disk: everything that a start needs, and nothing that must be recomputed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from headrace import cache
from headrace.checkpoint.binding import Binding
from headrace.codegen.manifest import Manifest
from headrace.errors import CacheError, TokenizerError

if TYPE_CHECKING:
    from headrace.text import Tokenizer

Level = Literal["captured", "looped", "mapped"]
LEVELS: tuple[Level, ...] = get_args(Level)
ABOUT, CODE, MANIFEST, TOKENIZER = "about.json", "program.o", "manifest.json", "tokenizer.json"


@dataclass(frozen=True, slots=True)
class About:
    """Where an artifact comes from.

    Attributes:
        source: the name of a model in the cache, the absolute path of one elsewhere, or
            `module:` and a class. `path` is None for a module. content: its fingerprint.
        target: LLVM triple, processor, features.
        packed: key of the packed weights. code_sha256: of the object code.
        bindings: the program's weights → the checkpoint's; empty for a module in memory.
        stop_tokens: ids that end an answer.
    """

    source: str
    path: str | None
    content: str
    toolchain: str
    workers: int
    weights: str
    kv: str
    trace: bool
    target: tuple[str, str, str]
    packed: str
    code_sha256: str
    architecture: str
    bindings: Mapping[str, Binding]
    stop_tokens: tuple[int, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> About:
        """Raises ValueError, KeyError or TypeError for anything that `to_json` did not write."""
        fields: dict[str, Any] = json.loads(text)
        bindings: dict[str, Any] = fields["bindings"]
        fields["bindings"] = {name: Binding.from_fields(each) for name, each in bindings.items()}
        for name in ("target", "stop_tokens"):
            fields[name] = tuple(fields[name])
        return About(**fields)


@dataclass(frozen=True)
class Artifact:
    """An entry of the cache of programs."""

    path: Path

    @property
    def key(self) -> str:
        return self.path.name

    @cached_property
    def about(self) -> About:
        try:
            return About.from_json(self._text(ABOUT))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(ABOUT, str(error)) from error

    @cached_property
    def manifest(self) -> Manifest:
        try:
            return Manifest.from_json(self._text(MANIFEST))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(MANIFEST, str(error)) from error

    @property
    def code(self) -> bytes:
        """The object code, checked: a changed byte would run."""
        code = self._bytes(CODE)
        if hashlib.sha256(code).hexdigest() != self.about.code_sha256:
            raise self._damaged(CODE, "its SHA-256 differs")
        return code

    @property
    def packed(self) -> Path:
        """The file of the packed weights, whether it exists or not."""
        return packed_path(self.about.packed)

    def program_text(self, level: Level) -> str:
        """The program at a level of its way: `captured`, `looped` or `mapped`."""
        return self._text(f"{level}.mlir")

    @property
    def has_tokenizer(self) -> bool:
        return (self.path / TOKENIZER).exists()

    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer.

        Raises:
            TokenizerError: it has none, or one that cannot be read; the reason names the file.
        """
        from headrace.text import Tokenizer

        if self.has_tokenizer:
            return Tokenizer.from_json(self._text(TOKENIZER))
        if self.about.path is None:
            raise TokenizerError(
                "the module was compiled without a tokenizer",
                hint="headrace.compile(module, tokenizer=...), or give and take token ids",
            )
        from headrace.checkpoint.source import open_checkpoint, resolve

        return Tokenizer.from_checkpoint(open_checkpoint(resolve(Path(self.about.path))))

    def _text(self, name: str) -> str:
        return self._bytes(name).decode()

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise self._damaged(name, error.strerror or str(error)) from error

    def _damaged(self, name: str, why: str) -> CacheError:
        return CacheError(
            f"a compiled program in the cache is damaged: {why}",
            where=str(self.path / name),
            hint=f"delete {self.path}; it is compiled anew",
        )


def packed_path(key: str) -> Path:
    """Where packed weights of that key lie."""
    return cache.packed() / f"{key}.weights"
