"""The cache: private, whole or nothing, one writer an entry."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from headrace import cache
from headrace.errors import CacheError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill_disk() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def test_directories_are_private(root: Path) -> None:
    made = [cache.models(), cache.programs(), cache.packed(), cache.memo()]
    assert {path.name for path in made} == {"models", "programs", "packed", "memo"}
    for path in (root, *made):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_the_default_root_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADRACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "headrace"


def test_a_directory_others_can_write_is_refused() -> None:
    cache.programs().chmod(0o777)
    with pytest.raises(CacheError, match="other users can write"):
        cache.programs()


def test_a_root_that_is_a_file(root: Path) -> None:
    root.write_text("")
    with pytest.raises(CacheError) as caught:
        cache.models()
    assert "HEADRACE_CACHE" in (caught.value.hint or "")


def test_atomic_file_appears_whole() -> None:
    target = cache.memo() / "note"
    with cache.atomic_file(target, 5) as file:
        file.write(b"12345")
        assert not target.exists()
    assert target.read_bytes() == b"12345"
    with cache.atomic_file(target) as file:
        file.write(b"again")
    assert target.read_bytes() == b"again"
    assert [path.name for path in target.parent.iterdir()] == ["note"]


def test_atomic_directory_appears_whole() -> None:
    target = cache.programs() / "abc"
    with cache.atomic_directory(target) as temporary:
        (temporary / "part").mkdir()
        (temporary / "part" / "object").write_bytes(b"code")
        assert not target.exists()
    assert (target / "part" / "object").read_bytes() == b"code"
    with cache.atomic_directory(target) as temporary:
        (temporary / "other").write_bytes(b"later")
    assert [path.name for path in target.iterdir()] == ["part"]
    assert [path.name for path in target.parent.iterdir()] == ["abc"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_half_written_remains(error: type[BaseException]) -> None:
    directory = cache.programs()

    def break_file() -> None:
        with cache.atomic_file(directory / "file") as file:
            file.write(b"half")
            raise error

    def break_directory() -> None:
        with cache.atomic_directory(directory / "entry") as temporary:
            (temporary / "half").write_bytes(b"half")
            raise error

    for attempt in (break_file, break_directory):
        with pytest.raises(error):
            attempt()
    assert list(directory.iterdir()) == []


def test_a_full_disk_is_a_cache_error_and_leaves_nothing() -> None:
    directory = cache.packed()

    def fill_file() -> None:
        with cache.atomic_file(directory / "weights"):
            fill_disk()

    def fill_directory() -> None:
        with cache.atomic_directory(directory / "weights"):
            fill_disk()

    def ask_too_much() -> None:
        with cache.atomic_file(directory / "weights", 1 << 60):
            pass

    for attempt in (fill_file, fill_directory, ask_too_much):
        with pytest.raises(CacheError, match="full") as caught:
            attempt()
        assert caught.value.where == str(directory)
        assert caught.value.hint
    assert "1152921504606846976 bytes are needed" in caught.value.what
    assert list(directory.iterdir()) == []


def test_an_error_about_something_else_passes_unchanged(tmp_path: Path) -> None:
    def read_elsewhere() -> None:
        with cache.atomic_file(cache.memo() / "note"):
            (tmp_path / "elsewhere" / "absent").read_bytes()

    with pytest.raises(FileNotFoundError):
        read_elsewhere()


def test_an_unusable_directory_is_a_cache_error() -> None:
    target = cache.memo() / "gone" / "note"
    with pytest.raises(CacheError, match="cannot be used"), cache.atomic_file(target):
        pass


def test_remove_directory() -> None:
    entry = cache.models() / "m"
    (entry / "deep").mkdir(parents=True)
    (entry / "deep" / "file").write_bytes(b"x")
    cache.remove_directory(entry)
    cache.remove_directory(entry)
    assert list(cache.models().iterdir()) == []


def compile_once(target: Path, log: Path) -> None:
    with cache.entry_lock(target):
        if target.exists():
            return
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        with cache.atomic_directory(target) as temporary:
            (temporary / "object").write_bytes(b"code")


def test_two_processes_do_the_work_once(tmp_path: Path) -> None:
    target, log = cache.programs() / "key", tmp_path / "log"
    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=compile_once, args=(target, log)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
        assert worker.exitcode == 0
    assert len(log.read_text().splitlines()) == 1
    assert (target / "object").read_bytes() == b"code"


def test_a_waiter_is_told_once() -> None:
    target = cache.programs() / "key"
    told: list[str] = []
    entered = threading.Event()

    def wait() -> None:
        with cache.entry_lock(target, lambda: told.append("waiting")):
            entered.set()

    with cache.entry_lock(target):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not entered.wait(0.2)
    waiter.join(5)
    assert entered.is_set()
    assert told == ["waiting"]
