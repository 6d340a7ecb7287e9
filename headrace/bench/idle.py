"""Whether a process is asleep: what it runs would disturb the measurement of another."""

from __future__ import annotations

import time
from pathlib import Path

from headrace.errors import MachineError

_LOOK_S = 0.1
_LIMIT_S = 20.0


def cpu_ticks(pid: int) -> int:
    """CPU time that all threads of a process have had, in the kernel's ticks (mostly 10 ms).

    Raises:
        MachineError: there is no such process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError as error:
        raise MachineError(f"process {pid} is gone: {error.strerror}") from error
    user, system = text.rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def await_idle(pid: int) -> None:
    """Return when a process does next to nothing: engines spin for a while after their work.

    Raises:
        MachineError: it goes on working.
    """
    end = time.monotonic() + _LIMIT_S
    before = cpu_ticks(pid)
    while time.monotonic() < end:
        time.sleep(_LOOK_S)
        now = cpu_ticks(pid)
        if now == before:
            return
        before = now
    raise MachineError(
        f"process {pid} still uses the processor {_LIMIT_S:.0f} s after its work",
        where="the peer engine",
    )
