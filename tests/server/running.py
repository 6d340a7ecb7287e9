"""A server of this checkout in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.build.cached import environment

START_SECONDS = 240  # a first start fetches and compiles


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, the model that it serves, its process and what it has written."""

    url: str
    model: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def api(self) -> str:
        """The base of OpenAI's API."""
        return f"{self.url}/v1"


@contextmanager
def serving(log: Path, model: str, *options: str) -> Iterator[Server]:
    """`headrace serve`, ready; its output goes to `log`."""
    port = free_port()
    command = [sys.executable, "-m", "headrace", "serve", model, "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(), stdout=output, stderr=output)
        try:
            server = Server(f"http://127.0.0.1:{port}", model, process, log)
            _wait(process, f"{server.url}/ready", log)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def engines(server: Server) -> list[psutil.Process]:
    """The engine processes, in the order of their models."""
    children = psutil.Process(server.process.pid).children()
    return [each for each in children if "engine_process" in "".join(each.cmdline())]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
