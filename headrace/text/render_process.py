"""The process that renders templates, started when first needed and kept."""

from __future__ import annotations

import atexit
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.child import Child, ChildEndedError, ChildStartError, ChildTimeoutError
from headrace.errors import TemplateError

RENDERER = Path(__file__).with_name("renderer.py")
#: Bytes of address space: Python itself takes some 50 MB, a long conversation a few.
MEMORY = 512 << 20
SECONDS = 10.0
HINT = "--raw gives the model the prompt as it stands, without the template"


class RenderProcess:
    """A child with bounded memory; one request at a time, replaced when it has to be ended."""

    def __init__(self, memory: int = MEMORY, seconds: float = SECONDS) -> None:
        self._memory = memory
        self._seconds = seconds
        self._child = Child(RENDERER, memory, seconds)

    @property
    def pid(self) -> int | None:
        """The child's number, while there is one."""
        return self._child.pid

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """The reply to a request (`renderer`).

        Raises:
            TemplateError: it is not plain data, takes too much memory or time, or the process
                cannot be started.
        """
        line = _encoded(request)
        try:
            return json.loads(self._child.ask(line))
        except ChildTimeoutError as error:
            raise TemplateError(
                f"the template takes more than {self._seconds:g} seconds",
                where="chat template",
                hint=HINT,
            ) from error
        except ChildEndedError as error:
            raise self._ended(error.code) from error
        except ChildStartError as error:
            raise TemplateError(
                f"the process that renders chat templates cannot be started: {error}",
                where=sys.executable,
                hint=HINT,
            ) from error

    def close(self) -> None:
        """End the child, if there is one."""
        self._child.close()

    def _ended(self, code: int) -> TemplateError:
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
