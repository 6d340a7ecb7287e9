"""Other engines, each in a process of its own so that its threads keep apart from ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headrace.bench import llama_peer
from headrace.bench.idle import await_idle
from headrace.bench.runner import prompt_tokens
from headrace.errors import MachineError, RequestError

PYTHON_VARIABLE = "HEADRACE_PEER_PYTHON"
_ROUND = 256


def peer_python(chosen: Path | None) -> str:
    """The Python that has the peer: the one chosen, $HEADRACE_PEER_PYTHON, or this one."""
    return str(chosen or os.environ.get(PYTHON_VARIABLE) or sys.executable)


class LlamaCpp:
    """llama.cpp through llama-cpp-python, on the same GGUF file with the same threads.

    Args:
        path: the model; it is mapped from the file, as llama.cpp does by default.
        tokens: positions that a run may fill.

    Raises:
        RequestError: llama-cpp-python is not installed in `python`.
        MachineError: the process fails.
    """

    def __init__(self, python: str, path: Path, threads: int, tokens: int, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._process = _start(python)
        context = -(-tokens // _ROUND) * _ROUND
        reply = self._ask({"path": str(path), "threads": threads, "context": context})
        self.version: str = reply["version"]

    def run(self, prompt: int, decode: int) -> tuple[float, float]:
        """Seconds of prefill and decode; when it returns, the peer's threads sleep."""
        tokens = prompt_tokens(prompt, self._vocabulary).tolist()
        reply = self._ask({"tokens": tokens, "decode": decode})
        await_idle(self._process.pid)
        return reply["prefill"], reply["decode"]

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise MachineError(f"llama.cpp's process ended ({process.wait()})", where="--peers")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            self.close()
            raise _peer_error(reply)
        return reply


def _start(python: str) -> subprocess.Popen[str]:
    command = [python, "-P", str(Path(llama_peer.__file__))]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError as error:
        raise RequestError(
            f"the peer's Python cannot be started: {error.strerror}", where=python
        ) from error


def _peer_error(reply: dict[str, Any]) -> RequestError | MachineError:
    if reply["missing"]:
        return RequestError(
            f"--peers needs llama-cpp-python: {reply['error']}",
            where="--peers",
            hint="pip install llama-cpp-python, or name a Python that has it: "
            f"--peer-python PATH, or ${PYTHON_VARIABLE}",
        )
    return MachineError(f"llama.cpp: {reply['error']}", where="--peers")
