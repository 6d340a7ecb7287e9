"""Grammars are compiled in a process that can be ended, before this one compiles them."""

from __future__ import annotations

import atexit
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from headrace.child import Child, ChildEndedError, ChildStartError, ChildTimeoutError
from headrace.errors import MachineError, RequestError

TRIAL = Path(__file__).with_name("trial.py")
#: Bytes of address space: Python and the compiler take some 100 MB of it, a large schema 20 MB.
MEMORY = 320 << 20
#: An ordinary grammar takes a millisecond.
SECONDS = 3.0
#: Characters of the compiler's message.
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be compiled, and for what.

    Attributes:
        grammars: as llguidance reads them. specials: ids of special tokens by their text.
        size: tokens of the vocabulary. limits: arguments of llguidance's `LLParserLimits`.
    """

    grammars: Sequence[Mapping[str, Any]]
    specials: Mapping[str, int]
    size: int
    limits: Mapping[str, int]


class TrialProcess:
    """Tries grammars with bounded memory and time (`trial`). Safe to share by threads."""

    def __init__(self, memory: int = MEMORY, seconds: float = SECONDS) -> None:
        self._child = Child(TRIAL, memory, seconds)

    def check(self, trial: Trial) -> None:
        """Compile grammars.

        Raises:
            RequestError: they are malformed, or take too much memory or time.
            MachineError: the process cannot be started.
        """
        request = {field.name: getattr(trial, field.name) for field in fields(trial)}
        reply = self._reply(json.dumps(request).encode() + b"\n")
        if reply["error"] is None:
            return
        place = reply["place"]
        where = "grammar" if place is None else f"schema#{place}"
        raise RequestError(reply["error"].strip()[:_LONGEST], where=where)

    def close(self) -> None:
        """End the process, if there is one."""
        self._child.close()

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            return json.loads(self._child.ask(line))
        except (ChildTimeoutError, ChildEndedError) as error:
            raise RequestError(
                "the grammar takes too much time or memory to compile",
                where="grammar",
                hint="use fewer alternatives, repetitions and intersections",
            ) from error
        except ChildStartError as error:
            raise MachineError(
                f"the process that tries grammars cannot be started: {error}", where=sys.executable
            ) from error


class TrialProcesses:
    """As many processes as grammars are tried at once: none waits for another."""

    def __init__(self) -> None:
        self._idle: list[TrialProcess] = []
        self._lock = threading.Lock()

    def check(self, trial: Trial) -> None:
        """As `TrialProcess.check`."""
        with self._lock:
            process = self._idle.pop() if self._idle else TrialProcess()
        try:
            process.check(trial)
        finally:
            with self._lock:
                self._idle.append(process)

    def close(self) -> None:
        """End the processes that nobody uses."""
        with self._lock:
            for process in self._idle:
                process.close()


#: Those that all models of this process share.
SHARED = TrialProcesses()
atexit.register(SHARED.close)
