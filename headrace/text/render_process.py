"""The process that renders templates, started when first needed and kept."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.errors import TemplateError

RENDERER = Path(__file__).with_name("renderer.py")
#: Bytes of address space: Python itself takes some 50 MB, a long conversation a few.
MEMORY = 512 << 20
SECONDS = 10.0
CHUNK = 1 << 16
HINT = "--raw gives the model the prompt as it stands, without the template"


class RenderProcess:
    """A child with bounded memory; one request at a time, replaced when it has to be ended."""

    def __init__(self, memory: int = MEMORY, seconds: float = SECONDS) -> None:
        self._memory = memory
        self._seconds = seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """The child's number, while there is one."""
        return None if self._child is None else self._child.pid

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """The reply to a request (`renderer`).

        Raises:
            TemplateError: it is not plain data, takes too much memory or time, or the process
                cannot be started.
        """
        line = _encoded(request)
        with self._lock:
            child = self._running()
            try:
                return json.loads(self._exchange(child, line))
            except (BrokenPipeError, EOFError) as error:
                raise self._ended(child) from error
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
        command = [sys.executable, "-P", str(RENDERER), str(self._memory)]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise TemplateError(
                f"the process that renders chat templates cannot be started: {error}",
                where=sys.executable,
                hint=HINT,
            ) from error

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
                raise TemplateError(
                    f"the template takes more than {self._seconds:g} seconds",
                    where="chat template",
                    hint=HINT,
                )
            part = os.read(child.stdout.fileno(), CHUNK)
            if not part:
                raise EOFError
            reply += part
        return bytes(reply)

    def _ended(self, child: subprocess.Popen[bytes]) -> TemplateError:
        code = child.wait()
        self.close()
        if code in (-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV):
            return too_much_memory(self._memory)
        return TemplateError(
            f"the process that renders chat templates ended with {code}",
            where="chat template",
            hint=f"it needs the package minijinja; {HINT}",
        )


def _encoded(request: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(request).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise TemplateError(
            f"the messages are not plain data: {error}",
            hint="give texts, numbers, lists and dicts with text keys",
        ) from error


def too_much_memory(memory: int) -> TemplateError:
    return TemplateError(
        f"the template takes more than {memory >> 20} MB of memory",
        where="chat template",
        hint=HINT,
    )


#: The one that all templates share.
SHARED = RenderProcess()
atexit.register(SHARED.close)
