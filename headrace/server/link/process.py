"""An engine process as its parent sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

from headrace.errors import MachineError

_CHILD = (
    "import sys; sys.path[:] = {path!r}; "
    "from headrace.server.link.engine_process import main; main({descriptor}, {parent})"
)


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A child and our end of the sockets between us."""

    child: subprocess.Popen[bytes]
    link: socket.socket

    @staticmethod
    def start() -> EngineProcess:
        """Start one that waits for its first command.

        Raises:
            MachineError: the system gives no process or no sockets.
        """
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                return EngineProcess(_spawn(theirs), ours)
        except OSError as error:
            raise MachineError(f"an engine process cannot be started: {error}") from error

    @property
    def alive(self) -> bool:
        return self.child.poll() is None

    def end(self, seconds: float) -> str:
        """Wait so long for it to end, then kill it; how it ended."""
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            status = self.child.wait()
        return _how(status)


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    descriptor = theirs.fileno()
    code = _CHILD.format(path=sys.path, descriptor=descriptor, parent=os.getpid())
    # A session of its own: what is typed at the terminal is for the server, which passes it on.
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        pass_fds=[descriptor],
        start_new_session=True,
    )


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        return f"was ended by signal {-status}"
    return f"was ended by {name} ({signal.strsignal(-status)})"
