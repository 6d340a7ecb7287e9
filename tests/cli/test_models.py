"""`headrace pull`, `ls` and `rm` on a cache of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace import cache
from headrace.cli import main
from tests.build.cached import RANDOM

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")  # paths are not folded
    return tmp_path / "cache"


def test_an_empty_cache_says_what_to_do(own_cache: Path, capsys: Captured) -> None:
    assert main(["ls"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"no models in {own_cache}" in shown.err


def test_a_model_comes_is_listed_and_goes(own_cache: Path, capsys: Captured) -> None:
    assert main(["pull", RANDOM]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.is_file()
    assert path.is_relative_to(own_cache)
    assert main(["ls"]) == 0
    listed = capsys.readouterr().out.splitlines()[1].split()
    assert listed == [RANDOM, "92.6", "kB", "q4_0", "-", "-"]
    assert main(["run", RANDOM, "Hello", "--max-tokens", "2", "--threads", "1"]) == 0
    capsys.readouterr()
    assert main(["ls"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[4] == "1"
    assert main(["show", RANDOM]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "compiled for 1 workers, weights auto, " in shown
    assert f"{own_cache}/programs/" in shown
    assert re.search(rf" packed [\d.]+ .B {own_cache}/packed/", shown)
    assert main(["rm", RANDOM]) == 0
    assert f"removed {RANDOM}: " in capsys.readouterr().out
    left = [path for path in own_cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert [path.parent.name for path in left] == ["memo"] * len(left)


def test_what_is_of_no_use_is_told_and_removed(own_cache: Path, capsys: Captured) -> None:
    assert main(["pull", RANDOM]) == 0
    (cache.packed() / "0.weights").write_bytes(bytes(2000))
    assert main(["ls"]) == 0
    assert "2 kB are of no use any more" in capsys.readouterr().err
    assert main(["rm", "--stale"]) == 0
    assert "2 kB freed" in capsys.readouterr().out
    assert not any(cache.packed().iterdir())


def test_removing_what_is_not_there(capsys: Captured) -> None:
    assert main(["rm", "smollm2"]) == 1
    assert "the cache holds no model 'smollm2'" in capsys.readouterr().err


def test_pulling_nonsense(capsys: Captured) -> None:
    assert main(["pull", "random:tiny-llama@q9"]) == 1
    assert "is not a random model" in capsys.readouterr().err
