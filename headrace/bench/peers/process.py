"""A child process that is asked by JSON, one object a line."""

from __future__ import annotations

import json
import os
import select
import subprocess
from typing import Any

from headrace.bench.idle import await_idle
from headrace.bench.peers.engines import Engine, child_path
from headrace.errors import MachineError, RequestError

LIMIT_S = 240.0  # compiling a model takes some engines minutes


class PeerProcess:
    """An engine's process; every question is answered by one line, or ends it.

    Args:
        limit: seconds that an answer may take.

    Raises:
        RequestError: its Python cannot be started.
    """

    def __init__(self, engine: Engine, python: str, threads: int, limit: float = LIMIT_S) -> None:
        self._engine, self._limit = engine, limit
        self._process = _start(engine, python, threads)

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """The reply to a command; when it returns, the engine's threads sleep.

        Raises:
            RequestError: the engine is not installed there.
            MachineError: the engine reports an error, ends, or takes too long.
        """
        reply = self._reply(command)
        if "error" in reply:
            raise _error(self._engine, reply)
        await_idle(self._process.pid)
        return reply

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            assert process.stdin is not None
            try:
                process.stdin.close()
                process.wait(10)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                process.kill()

    def _reply(self, command: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], self._limit)[0]:
                process.kill()
                raise MachineError(f"no answer within {self._limit:.0f} s", where=self._engine.name)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise MachineError(f"its process ended ({process.wait()})", where=self._engine.name)
        reply: dict[str, Any] = json.loads(line)
        return reply


def _start(engine: Engine, python: str, threads: int) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            [python, "-P", str(child_path("serve.py")), str(engine.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    except OSError as error:
        raise RequestError(
            f"the peer's Python cannot be started: {error.strerror}", where=python
        ) from error


def _error(engine: Engine, reply: dict[str, Any]) -> RequestError | MachineError:
    if not reply["missing"]:
        return MachineError(reply["error"], where=engine.name)
    package = engine.packages[0]
    return RequestError(
        f"the peer needs {package}: {reply['error']}",
        where=engine.name,
        hint=f"pip install {package}, or name a Python that has it: "
        "--peer-python PATH, or $HEADRACE_PEER_PYTHON",
    )
