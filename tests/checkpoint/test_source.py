"""From what a user types to a model on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from headrace.checkpoint.digest import file_digest
from headrace.checkpoint.safetensors import SINGLE
from headrace.checkpoint.source import fingerprint, open_checkpoint, resolve
from headrace.checkpoint.store import list_models, remove
from headrace.errors import SourceError

TINY = "random:tiny-llama@q4_0"


class Recorder:
    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []
        self.bytes = 0
        self.ended = 0

    def start(self, label: str, total_bytes: int | None) -> None:
        self.steps.append((label, total_bytes))

    def advance(self, byte_count: int) -> None:
        self.bytes += byte_count

    def done(self) -> None:
        self.ended += 1


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "llama"}')
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (path / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return path


def test_a_random_model_is_written_once(cache_root: Path) -> None:
    progress = Recorder()
    first = resolve(TINY, progress)
    assert (first.kind, first.name) == ("gguf", TINY)
    assert cache_root in first.path.parents
    assert progress.steps[0][1] == progress.bytes
    assert progress.ended == len(progress.steps) == 1
    written = first.path.stat()
    assert resolve(TINY) == first
    assert first.path.stat().st_mtime_ns == written.st_mtime_ns
    assert open_checkpoint(first).metadata["llama.block_count"] == 2


def test_a_gguf_file_and_a_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = resolve(TINY).path
    assert resolve(str(gguf)).kind == resolve(gguf).kind == "gguf"
    assert resolve(directory).kind == "directory"
    assert list(open_checkpoint(resolve(directory)).names()) == ["a"]
    monkeypatch.chdir(directory.parent)
    assert resolve("model").path == Path("model")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("smolm2", "smollm2"),
        ("what is this", "names: smollm2"),
        ("../../etc", None),
        ("a/b.gguf", None),
    ],
)
def test_an_unknown_name(text: str, hint: str | None) -> None:
    with pytest.raises(SourceError) as caught:
        resolve(text)
    assert hint is None or hint in (caught.value.hint or "")


def test_what_is_not_a_model(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        resolve(tmp_path / "absent.gguf")
    with pytest.raises(SourceError, match="weights alone"):
        resolve(directory / SINGLE)
    (directory / "config.json").unlink()
    with pytest.raises(SourceError, match=r"no config\.json"):
        resolve(directory)
    (directory / "x.gguf").touch()
    with pytest.raises(SourceError) as caught:
        resolve(str(directory))
    assert "x.gguf" in (caught.value.hint or "")


def test_list_and_remove() -> None:
    assert list_models() == []
    path = resolve(TINY).path
    [listed] = list_models()
    assert (listed.name, listed.bytes) == (TINY, path.stat().st_size)
    assert remove(TINY) == listed
    assert list_models() == []
    assert not path.exists()


@pytest.mark.parametrize("name", ["random:tiny-lama@q4_0", "..", "", "../../victim", "/etc"])
def test_only_entries_are_removed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    resolve(TINY)
    with pytest.raises(SourceError, match="holds no model") as caught:
        remove(name)
    assert TINY in (caught.value.hint or "")
    assert victim.exists()
    assert len(list_models()) == 1


def test_the_fingerprint_is_the_content(directory: Path) -> None:
    gguf = resolve(TINY)
    assert fingerprint(gguf) == hashlib.sha256(gguf.path.read_bytes()).hexdigest()
    source = resolve(directory)
    before = fingerprint(source)
    assert fingerprint(source) == before
    (directory / "README.md").write_text("not part of the model")
    assert fingerprint(source) == before
    (directory / "config.json").write_text('{"model_type": "qwen3"}')
    assert fingerprint(source) != before


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    first, times = file_digest(path), path.stat()
    path.write_bytes(b"secon")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_digest(path) == first, "the memo answers while nothing visible has changed"
    os.utime(path)
    assert file_digest(path) == hashlib.sha256(b"secon").hexdigest()


def test_a_damaged_memo_is_written_again(tmp_path: Path, cache_root: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"bytes")
    digest = file_digest(path)
    [note] = (cache_root / "memo").iterdir()
    for damage in ("", "[]", '{"file": 1}', "{"):
        note.write_text(damage)
        assert file_digest(path) == digest
