"""Content addresses: two builds have the same key if nothing that matters to the result differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import headrace
from headrace.build.options import Options

if TYPE_CHECKING:
    from headrace.checkpoint.binding import Binding
    from headrace.codegen.manifest import Manifest
    from headrace.codegen.target import Target

#: Packages of headrace whose sources decide what an artifact holds.
SOURCES = (
    "build",
    "checkpoint",
    "codegen",
    "formats",
    "frontend",
    "ir",
    "machine",
    "passes",
    "runtime",
    "text",
)
#: What decides the bytes of packed weights, beside the parts of a manifest that follow.
PACKING_SOURCES = (
    "checkpoint",
    "formats",
    "codegen/layout.py",
    "codegen/tile_format.py",
    "runtime/pack.py",
)
PACKING = (
    "streams",
    "stream_starts",
    "vectors",
    "vectors_start",
    "rows",
    "rows_start",
    "packed_bytes",
)
#: Libraries whose versions do.
LIBRARIES = ("gguf", "llvmlite", "numpy", "tokenizers", "torch", "transformers", "xdsl")


@cache
def toolchain() -> str:
    """Digest of headrace's own compiling sources and of the versions of its libraries."""
    return _digest(_sources(SOURCES), _versions())


def _sources(names: Iterable[str]) -> str:
    """Digest of headrace's source files, and of those in its packages, by these names."""
    digest = hashlib.sha256()
    root = Path(headrace.__file__).parent
    for name in names:
        place = root / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else (place,):
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in LIBRARIES}


def program_key(content: str, options: Options, target: Target) -> str:
    """The address of a compiled program; `content` is its source's fingerprint."""
    chosen = replace(options, isa=None)  # the target says it
    return _digest("program", content, toolchain(), *astuple(chosen), *astuple(target))


def packed_key(content: str, manifest: Manifest, bindings: Mapping[str, Binding]) -> str:
    """The address of packed weights: the same for all programs that read the same bytes.

    bindings: where the program's weights are in the source.
    """
    facts = asdict(manifest)
    parts = [facts[name] for name in PACKING]
    bound = {name: asdict(binding) for name, binding in sorted(bindings.items())}
    return _digest("packed", content, _sources(PACKING_SOURCES), parts, bound)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
