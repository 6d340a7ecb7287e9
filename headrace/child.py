"""A process for work that is not trusted: bounded memory, bounded time, replaced when it fails."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

_CHUNK = 1 << 16


class ChildError(Exception):
    """A child did not answer; who asked says what that means."""


class ChildTimeoutError(ChildError):
    """It took too long, and was ended."""


class ChildEndedError(ChildError):
    """It ended by itself, with `code` (negative: a signal's number)."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"it ended with {code}")


class ChildStartError(ChildError):
    """It could not be started."""


class Child:
    """Runs a Python file that answers lines; started when first needed, one request at a time.

    file: is run by itself, with `memory` (bytes) as its argument, which it must keep to. seconds:
        that an answer may take. Safe to share by threads, and after a fork.
    """

    def __init__(self, file: Path, memory: int, seconds: float) -> None:
        self._file, self._memory, self._seconds = file, memory, seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """The child's number, while there is one."""
        return None if self._child is None else self._child.pid

    def ask(self, line: bytes) -> bytes:
        """The line that answers a line, which ends with a newline.

        Raises:
            ChildError: there is no answer; the next request has a new child.
        """
        with self._lock:
            child = self._running()
            try:
                return self._exchange(child, line)
            except (BrokenPipeError, EOFError) as error:
                code = child.wait()
                self.close()
                raise ChildEndedError(code) from error
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        child.kill()
        child.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        forked = self._owner != os.getpid()
        if self._child is None or forked or self._child.poll() is not None:
            self._child = self._started()
            self._owner = os.getpid()
        return self._child

    def _started(self) -> subprocess.Popen[bytes]:
        # -P: the modules beside the file are headrace's, not those that it imports. A session of
        # its own: an interrupt at the terminal is not meant for it.
        command = [sys.executable, "-P", str(self._file), str(self._memory)]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise ChildStartError(str(error)) from error

    def _exchange(self, child: subprocess.Popen[bytes], line: bytes) -> bytes:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(line)
        child.stdin.flush()
        deadline = time.monotonic() + self._seconds
        reply = bytearray()
        while not reply.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise ChildTimeoutError
            part = os.read(child.stdout.fileno(), _CHUNK)
            if not part:
                raise EOFError
            reply += part
        return bytes(reply)
