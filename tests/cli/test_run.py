"""`headrace run` as a process of its own: streams, statuses, signals, a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.api import load
from headrace.build import Options, build
from tests.build.cached import CONTEXT, environment, shared_cache, tiny_directory

COMMAND = [sys.executable, "-m", "headrace"]
FIGURES = re.compile(r"\[(\d+) tokens? · .* tokens/s · \d+% of the roofline \(.* read per token\)")


@pytest.fixture(scope="module", autouse=True)
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with shared_cache(tmp_path_factory) as directory:
        yield directory


@pytest.fixture(scope="module")
def answer(tiny: str) -> str:
    """What the Python interface answers to "Hello"."""
    with load(tiny, threads=2) as model:
        return "".join(model.chat([{"role": "user", "content": "Hello"}], max_tokens=40))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> str:
    """A tiny model, compiled."""
    directory = tiny_directory(tmp_path_factory)
    build(directory, Options(workers=2))
    return str(directory)


def headrace(*arguments: str, given: bytes | None = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(), input=given, capture_output=True, check=False
    )


def run(tiny: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return headrace("run", tiny, *arguments, "--threads", "2", given=given)


def test_the_answer_is_that_of_the_python_interface(tiny: str, answer: str) -> None:
    ended = run(tiny, "Hello", "--max-tokens", "40")
    assert ended.returncode == 0
    assert ended.stdout.decode() == answer + "\n"
    figures = FIGURES.search(ended.stderr.decode())
    assert figures is not None
    assert figures[1] == "40"


def test_stdin_is_the_prompt_where_none_is_given(tiny: str, answer: str) -> None:
    ended = run(tiny, "--max-tokens", "40", given=b"Hello")
    assert ended.stdout.decode() == answer + "\n"


def test_raw_leaves_the_template_out(tiny: str, answer: str) -> None:
    ended = run(tiny, "<user>Hello<assistant>", "--raw", "--max-tokens", "40")
    assert ended.stdout.decode() == answer + "\n"
    assert run(tiny, "Hello", "--raw", "--max-tokens", "40").stdout != ended.stdout


def test_the_same_seed_gives_the_same_text(tiny: str) -> None:
    choice = ["--temperature", "1", "--top-p", "0.95", "--top-k", "50", "--min-p", "0.01"]
    first, again, other = (
        run(tiny, "Hello", *choice, "--seed", seed).stdout for seed in ("7", "7", "8")
    )
    assert first == again
    assert first != other


def test_it_says_why_the_answer_ends(tiny: str) -> None:
    ended = run(tiny, "Hello", "--max-tokens", "8")
    assert "the answer ends at --max-tokens" in ended.stderr.decode()
    ended = run(tiny, "Hello", "--context", "16")
    assert "the answer ends at the context's 16 tokens" in ended.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--temperature", "-1"], "temperature is -1.0"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--top-p", "0"], "top_p is 0.0"),
        (["--top-k", "-1"], "top_k is -1"),
        (["--min-p", "2"], "min_p is 2.0"),
        (["--max-tokens", "0"], "max_tokens is 0"),
        (["--seed", str(2**63)], "seed is 9223372036854775808"),
        (["--context", str(CONTEXT + 1)], f"from 1 to {CONTEXT}"),
        (["--context", "4"], "and the context holds 4"),
    ],
)
def test_values_out_of_range_are_errors(tiny: str, arguments: list[str], told: str) -> None:
    ended = headrace("run", tiny, "Hello", "--threads", "2", *arguments)
    assert ended.returncode == 1
    assert ended.stdout == b""
    assert told in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "tiny", "Hello", "--no-such-option"],
        ["run", "tiny", "Hello", "--temperature", "warm"],
        ["run", "tiny", "Hello", "--weights", "q4_0"],
        ["run", "tiny", "Hello", "more"],
        ["nonsense"],
        ["pull"],
        ["rm"],
    ],
)
def test_wrong_usage_has_a_status_of_its_own(arguments: list[str]) -> None:
    ended = headrace(*arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr.decode()


def test_threads_have_a_range(tiny: str) -> None:
    ended = headrace("run", tiny, "Hello", "--threads", "0")
    assert ended.returncode == 1
    assert "threads is 0" in ended.stderr.decode()


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    ended = headrace("run", "smolm2", "Hello")
    assert ended.returncode == 1
    assert "there is no model 'smolm2'" in ended.stderr.decode()
    assert "did you mean smollm2" in ended.stderr.decode()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03\x00\x00\x00")
    ended = headrace("run", str(broken), "Hello")
    assert ended.returncode == 1
    assert str(broken) in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()


def test_a_prompt_in_the_place_of_a_model() -> None:
    ended = headrace("run", "Why is the sky blue?")
    assert ended.returncode == 1
    assert "try: headrace run smollm2 'Why is the sky blue?'" in ended.stderr.decode()


@pytest.mark.parametrize("given", [b"", b" \n", b"\xff\xfe"])
def test_a_prompt_is_needed_and_is_text(tiny: str, given: bytes) -> None:
    ended = run(tiny, given=given)
    assert ended.returncode == 1
    assert "prompt" in ended.stderr.decode()


def test_ctrl_c_stops_the_answer(tiny: str) -> None:
    process = start_long_answer(tiny)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == b""


def test_a_closed_pipe_is_no_crash(tiny: str) -> None:
    process = start_long_answer(tiny)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


def start_long_answer(tiny: str) -> subprocess.Popen[bytes]:
    """A process whose answer has begun and goes on for long."""
    arguments = ["run", tiny, "Hello", "--max-tokens", str(CONTEXT), "--threads", "2"]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    assert process.stdout.read(1)
    return process


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environment(TERM="dumb"),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        self.seen = ""

    def expect(self, text: str) -> str:
        """Read until `text` appears; gives what came before it."""
        while text not in self.seen:
            assert select.select([self.leader], [], [], 20)[0], f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.leader, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before.replace("\r\n", "\n")

    def expect_answer(self) -> str:
        """Read an answer to its end."""
        return self.expect(" tokens · ").rpartition("[")[0]

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def interrupt(self, until: str) -> None:
        """Press Ctrl-C, again each second, until `until` appears.

        Python's readline misses a signal between its prompt and its sleep; nothing may follow a
        missed one, so a person presses again.
        """
        for _ in range(20):
            self.process.send_signal(signal.SIGINT)
            if select.select([self.leader], [], [], 1)[0]:
                break
        self.expect(until)

    def close(self) -> int:
        status = self.process.wait(timeout=20)
        os.close(self.leader)
        return status


def test_a_terminal_becomes_a_chat(tiny: str, answer: str) -> None:
    terminal = Terminal("run", tiny, "--max-tokens", "40", "--threads", "2")
    terminal.expect("/bye")
    terminal.expect("> ")
    terminal.type("Hello\n")
    first = terminal.expect_answer()
    terminal.expect("> ")
    terminal.type("Hello\n")
    second = terminal.expect_answer()
    terminal.expect("> ")
    terminal.type("/clear\n")
    terminal.expect("> ")
    terminal.type("Hello\n")
    assert terminal.expect_answer() == first != second
    terminal.expect("> ")
    terminal.interrupt(until="> ")
    terminal.type("\x04")
    assert terminal.close() == 0


def test_ctrl_c_returns_to_the_chat(tiny: str) -> None:
    terminal = Terminal("run", tiny, "--max-tokens", str(CONTEXT), "--threads", "2")
    terminal.expect("> ")
    terminal.type("Hello\n")
    terminal.expect("Hello\r\n")
    assert select.select([terminal.leader], [], [], 20)[0]  # the answer has begun
    terminal.process.send_signal(signal.SIGINT)
    terminal.expect("\r\n> ")
    terminal.type("/bye\n")
    assert terminal.close() == 0


def test_help_teaches() -> None:
    whole = headrace("--help").stdout.decode()
    for command in ("run", "pull", "ls", "rm", "explain", "bench", "doctor"):
        assert re.search(rf"│ {command} +[A-Z]", whole), command
    shown = headrace("run", "--help").stdout.decode()
    assert "Examples" in shown
    for option in ("--max-tokens", "--temperature", "--top-p", "--top-k", "--min-p", "--seed"):
        assert option in shown
    assert re.fullmatch(r"headrace \d+\.\d+\.\d+\n", headrace("--version").stdout.decode())
