"""The default model from the command to its text."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from headrace.api import load
from tests.build.cached import environment

pytestmark = pytest.mark.slow

QUESTION = "Why is the sky blue?"


def seconds_to_text() -> float:
    """From the start of the command to the first byte of its answer."""
    command = [sys.executable, "-m", "headrace", "run", "smollm2", QUESTION, "--max-tokens", "8"]
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        return time.perf_counter() - start


def test_text_within_a_second_and_a_half() -> None:
    seconds_to_text()  # compiles it if need be
    assert min(seconds_to_text() for _ in range(3)) < 1.5


def test_the_host_is_rarely_called() -> None:
    with load("smollm2") as model:
        answer = model.chat([{"role": "user", "content": QUESTION}], max_tokens=64)
        text = "".join(answer)
    assert "sky" in text or "light" in text
    assert answer.statistics.generated_tokens == 64
    assert answer.statistics.host_calls <= 0.1 * 64
