"""Servers that are measured: headrace's, and llama-cpp-python's on the same file."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from headrace.errors import MachineError

START_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_END_SECONDS = 20.0
HOST = "127.0.0.1"


def headrace_command(model: str, threads: int, port: int) -> list[str]:
    """`headrace serve`, with nothing set that a user would not set."""
    serve = [sys.executable, "-m", "headrace", "serve", model, "--config", os.devnull]
    return [*serve, "--host", HOST, "--port", str(port), "--threads", str(threads)]


def llama_command(python: str, path: Path, threads: int, context: int, port: int) -> list[str]:
    """`llama_cpp.server`; a request must not end the one before, as it does if nothing is said."""
    options = {
        "model": str(path),
        "host": HOST,
        "port": str(port),
        "n_ctx": str(context),
        "n_threads": str(threads),
        "n_threads_batch": str(threads),
        "n_gpu_layers": "0",
        "flash_attn": "true",
        "interrupt_requests": "false",
        "verbose": "false",
    }
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [python, "-P", "-m", "llama_cpp.server", *given]


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], port: int, path: str) -> Generator[str]:
    """The URL of a server that answers; it ends with the block.

    Args:
        path: what is asked until it is answered with 200.

    Raises:
        MachineError: it does not start; the reason is the last it has said.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            _wait(process, port, path, log)
            yield f"http://{HOST}:{port}"
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def complete(url: str, prompt: str) -> None:
    """Let a server answer a prompt, so that it has done everything once.

    Raises:
        MachineError: it does not answer.
    """
    body = json.dumps({"model": "any", "prompt": prompt, "max_tokens": 4}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/completions", body, headers)
    try:
        urllib.request.urlopen(request, timeout=START_SECONDS).close()
    except OSError as error:
        raise MachineError(f"the server does not answer: {error}", where=url) from error


def _wait(process: subprocess.Popen[bytes], port: int, path: str, log: IO[str]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if _answers(port, path):
            return
        time.sleep(_LOOK_SECONDS)
    log.seek(0)
    lines = log.read().strip().splitlines() or ["it says nothing"]
    raise MachineError(f"the server did not start: {lines[-1]}", where=str(process.args))


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
