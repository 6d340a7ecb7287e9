"""headrace-opt: errors end with a message and a status, not a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.passes.opt import main

MAPPED = str(Path(__file__).parent / "mapped.mlir")


def test_a_program_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([MAPPED]) == 0
    assert "step.program @main" in capsys.readouterr().out


def test_a_pass_runs_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([MAPPED, "-p", "shard{workers=3}"]) == 0
    assert 'shard <"rows", [0, 2, 4, 6]>' in capsys.readouterr().out


@pytest.mark.parametrize("passes", ["no-such-pass", "shard{no=1}"])
def test_unknown_passes_and_options(passes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([MAPPED, "-p", passes]) == 1
    assert "loop-layers" in capsys.readouterr().err


def test_text_that_does_not_parse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mlir"
    path.write_text('%w = step.weight "w" : !step.weight<[0], "f32">')
    assert main([str(path)]) == 1
    assert "positive dimensions" in capsys.readouterr().err


def test_a_broken_contract_is_a_diagnostic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.mlir"
    path.write_text("builtin.module {}")
    assert main([str(path), "-p", "loop-layers"]) == 1
    assert "step.program" in capsys.readouterr().err
    assert main([str(path), "-p", "loop-layers", "--verify-diagnostics"]) == 0
    assert "step.program" in capsys.readouterr().out
