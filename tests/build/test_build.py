"""Artifacts of a real tiny model: made once, found again, whole or absent."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from headrace import cache
from headrace.build import LEVELS, Artifact, Options, build
from headrace.build.artifact import ABOUT, CODE, MANIFEST
from headrace.build.entries import (
    Freed,
    list_artifacts,
    packed_bytes,
    remove_artifacts,
    remove_stale,
    stale,
)
from headrace.build.key import packed_key
from headrace.errors import CacheError
from headrace.ir.dialect import parse_program
from tests.build.cached import environment

TWO = Options(workers=2)


class Labels:
    """Progress that keeps the labels."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def start(self, label: str, total_bytes: int | None) -> None:
        self.seen.append(label)

    def advance(self, byte_count: int) -> None:
        pass

    def done(self) -> None:
        pass


@pytest.fixture
def artifact(tiny: Path) -> Artifact:
    return build(tiny, TWO)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(cache: Path) -> list[str]:
    """Everything in the cache of programs and of packed weights but the lock files."""
    found = [*(cache / "programs").glob("*"), *(cache / "programs").glob(".*")]
    found += [*(cache / "packed").glob("*"), *(cache / "packed").glob(".*")]
    return [path.name for path in found if path.suffix != ".lock"]


def test_an_artifact_is_complete(artifact: Artifact, tiny: Path) -> None:
    assert artifact.about.source == str(tiny.resolve())
    assert artifact.about.architecture == "llama"
    assert artifact.about.stop_tokens == (257,)
    assert artifact.manifest.workers == 2
    assert artifact.packed.stat().st_size == artifact.manifest.packed_bytes
    assert artifact.code
    assert artifact.tokenizer().encode("<user>", special=True) == [258]


@pytest.mark.parametrize("level", LEVELS)
def test_the_program_is_kept_at_each_level(artifact: Artifact, level: str) -> None:
    text = artifact.program_text(level)  # pyright: ignore[reportArgumentType]
    parse_program(text)
    assert ("step.loop" in text) == (level != "captured")
    assert ("step.stage" in text) == (level == "mapped")


def test_it_is_found_again(artifact: Artifact, tiny: Path) -> None:
    told = Labels()
    assert build(tiny, TWO, told) == artifact
    assert told.seen == []


def test_packed_weights_alone_are_packed_again(artifact: Artifact, tiny: Path) -> None:
    before = artifact.packed.read_bytes()
    artifact.packed.unlink()
    told = Labels()
    assert build(tiny, TWO, told) == artifact
    assert told.seen == ["packing weights"]
    assert artifact.packed.read_bytes() == before


def test_a_traced_program_shares_the_weights(artifact: Artifact, tiny: Path) -> None:
    told = Labels()
    traced = build(tiny, Options(workers=2, trace=True), told)
    assert traced.key != artifact.key
    assert traced.packed == artifact.packed
    assert "packing weights" not in told.seen


@pytest.mark.parametrize("name", [ABOUT, CODE, MANIFEST, "captured.mlir"])
def test_a_damaged_entry_is_an_error(artifact: Artifact, tmp_path: Path, name: str) -> None:
    copy = tmp_path / artifact.key
    copy.mkdir()
    for path in artifact.path.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    damaged = Artifact(copy)
    if name == "captured.mlir":
        (copy / name).unlink()
    with pytest.raises(CacheError, match="damaged") as caught:
        _ = (damaged.about, damaged.code, damaged.manifest, damaged.program_text("captured"))
    assert caught.value.where == str(copy / name)


def test_what_an_older_headrace_compiled_is_removed(artifact: Artifact, tiny: Path) -> None:
    older = artifact.path.with_name("0" * 64)
    artifact.path.rename(older)
    about = json.loads((older / ABOUT).read_text())
    (older / ABOUT).write_text(json.dumps({**about, "toolchain": "older"}))
    told = Labels()
    again = build(tiny, TWO, told)
    assert again == artifact
    assert any("compiling" in label for label in told.seen)
    assert not older.exists()
    assert again.packed.exists()


def test_what_was_made_with_other_options_goes_too(own_cache: Path, tiny: Path) -> None:
    other = build(tiny, Options(workers=1))
    about = json.loads((other.path / ABOUT).read_text())
    (other.path / ABOUT).write_text(json.dumps({**about, "toolchain": "older"}))
    assert stale().programs == 1
    artifact = build(tiny, TWO)
    assert [each.key for each in list_artifacts()] == [artifact.key]
    assert not other.packed.exists()
    assert stale() == Freed(0, 0)


def test_what_is_of_no_use_is_removed(own_cache: Path, tiny: Path) -> None:
    artifact = build(tiny, TWO)
    orphan = artifact.packed.with_stem("0" * 64)
    orphan.write_bytes(b"packed")
    damaged = artifact.path.with_name("1" * 64)
    damaged.mkdir()
    (damaged / ABOUT).write_text("{}")
    assert remove_stale() == Freed(1, 8)
    assert not orphan.exists()
    assert not damaged.exists()
    assert artifact.packed.exists()
    assert list_artifacts() == [artifact]


def test_packed_weights_of_other_bytes_lie_elsewhere(artifact: Artifact, tiny: Path) -> None:
    about, manifest = artifact.about, artifact.manifest
    key = packed_key(about.content, manifest, about.bindings)
    assert key == about.packed
    assert key == packed_key(about.content, replace(manifest, traced=True), about.bindings)
    others = (
        packed_key("other", manifest, about.bindings),
        packed_key(about.content, replace(manifest, rows_start=1), about.bindings),
        packed_key(about.content, manifest, {}),
    )
    assert len({key, *others}) == 4


def test_removal_takes_programs_and_weights(own_cache: Path, tiny: Path) -> None:
    artifact = build(tiny, Options(workers=1))
    assert [each.key for each in list_artifacts()] == [artifact.key]
    size = packed_bytes(artifact.about.packed)
    freed = remove_artifacts(os.path.relpath(tiny))
    assert freed.programs == 1
    assert freed.bytes > size > 0
    assert entries(own_cache) == []
    assert remove_artifacts(str(tiny)).programs == 0


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow past `size` bytes: writes fail as they do on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_too_full_for_the_program(own_cache: Path, tiny: Path) -> None:
    with file_size_limit(10_000), pytest.raises(CacheError, match="full"):
        build(tiny, TWO)
    assert entries(own_cache) == []


def test_a_disk_too_full_for_the_weights(own_cache: Path, tiny: Path) -> None:
    with file_size_limit(2_000_000), pytest.raises(CacheError, match="full"):
        build(tiny, TWO)
    (program,) = entries(own_cache)
    told = Labels()
    assert build(tiny, TWO, told).key == program
    assert told.seen == ["packing weights"]


def test_whoever_waits_is_told(own_cache: Path, tiny: Path) -> None:
    artifact = build(tiny, TWO)
    artifact.packed.unlink()
    told = Labels()
    waiting = threading.Thread(target=build, args=(tiny, TWO, told))
    with cache.entry_lock(artifact.packed):
        waiting.start()
        while not told.seen:
            time.sleep(0.01)
    waiting.join()
    assert told.seen == [
        "waiting for another headrace that compiles this model",
        "packing weights",
    ]


BUILD = """
import sys
from headrace.build import Options, build
from tests.build.test_build import Labels

told = Labels()
artifact = build(sys.argv[1], Options(workers=2), told)
assert artifact.packed.exists()
print(artifact.key)
print(sum("capturing" in label or "packing" in label for label in told.seen))
"""


def test_two_processes_compile_once(own_cache: Path, tiny: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(tiny)]
    both = [
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate()[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told[0][0] == told[1][0]
    # One captured. Whoever came first to the weights packed them; the other had nothing to do.
    assert sum(int(count) for _, count in told) == 2
    assert len(entries(own_cache)) == 2
