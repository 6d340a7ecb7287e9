"""Whether a process is asleep: what it runs would disturb the measurement of another."""

from __future__ import annotations

import time
from pathlib import Path

from headrace.errors import MachineError

_LOOK_S = 0.05
_BUSY_S = 0.002  # of CPU time between two looks, at most, in what counts as idle
_LIMIT_S = 20.0


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process have had."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(path.read_text("ascii").split()[0])
        except (OSError, IndexError):
            continue  # a thread that has just ended
    return total * 1e-9


def await_idle(pid: int) -> None:
    """Return when the process does next to nothing: engines spin for a while after their work.

    Raises:
        MachineError: it goes on working.
    """
    end = time.monotonic() + _LIMIT_S
    before = cpu_seconds(pid)
    while time.monotonic() < end:
        time.sleep(_LOOK_S)
        now = cpu_seconds(pid)
        if now - before <= _BUSY_S:
            return
        before = now
    raise MachineError(
        f"process {pid} still uses the processor {_LIMIT_S:.0f} s after its work",
        where="the peer engine",
    )
