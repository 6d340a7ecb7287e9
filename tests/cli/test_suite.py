"""What the suite refuses on the command line, before anything is measured."""

from __future__ import annotations

import pytest

from headrace.cli import main

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--suite", "--only", "decode"], "there is no workload 'decode'"),
        (["--suite", "--against", "llama"], "there is no peer 'llama'"),
        (["--suite", "--repetitions", "0"], "repetitions is 0"),
        (["smollm2", "--suite"], "the suite has models of its own"),
        ([], "bench needs a model"),
    ],
)
def test_what_the_suite_refuses(words: list[str], said: str, capsys: Captured) -> None:
    assert main(["bench", *words]) == 1
    assert said in capsys.readouterr().err
