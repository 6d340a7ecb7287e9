"""Content addresses: two builds have the same key if nothing that matters to the result differs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import headrace
from headrace.build.options import Options

if TYPE_CHECKING:
    from headrace.codegen.target import Target

#: Packages of headrace whose sources decide what an artifact holds.
SOURCES = ("build", "checkpoint", "codegen", "frontend", "ir", "passes", "runtime", "text")
#: Libraries whose versions do.
LIBRARIES = ("gguf", "llvmlite", "numpy", "tokenizers", "torch", "transformers", "xdsl")


@cache
def toolchain() -> str:
    """Digest of headrace's own compiling sources and of the versions of its libraries."""
    digest = hashlib.sha256()
    root = Path(headrace.__file__).parent
    for package in SOURCES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(path.read_bytes())
    for name, version in _versions().items():
        digest.update(f"{name} {version}\0".encode())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in LIBRARIES}


def program_key(content: str, options: Options, target: Target) -> str:
    """The address of a compiled program; `content` is its source's fingerprint."""
    return _digest("program", content, toolchain(), *astuple(options), *astuple(target))


def packed_key(content: str, options: Options) -> str:
    """The address of packed weights: the same for every target, profiled or not."""
    return _digest("packed", content, toolchain(), options.workers, options.weights)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
