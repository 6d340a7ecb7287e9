"""`headrace quantize` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.checkpoint.gguf import open_gguf
from headrace.cli import main
from tests.build.cached import RANDOM


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


def test_a_model_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new.gguf"
    assert main(["quantize", RANDOM, str(output), "--weights", "bf16"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{output}\n"
    assert "writing new.gguf" in shown.err
    assert "kB written" in shown.err
    assert open_gguf(output).tensor("output.weight").format.name == "bf16"
    assert main(["quantize", RANDOM, str(output)]) == 1
    assert "not overwritten" in capsys.readouterr().err


def test_other_weights_are_wrong_usage(tmp_path: Path) -> None:
    assert main(["quantize", RANDOM, str(tmp_path / "new.gguf"), "--weights", "q5"]) == 2
    assert main(["quantize", RANDOM]) == 2
