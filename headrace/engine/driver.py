"""Schedules are handed to the native program, and followed while they run."""

from __future__ import annotations

from collections.abc import Generator

from headrace.runtime.mailbox import Sampled
from headrace.runtime.program import Program
from headrace.runtime.schedule import Schedule

POLL_SECONDS = 0.015  # the host may share a core with a worker


class Driver:
    """Runs schedules on a program, one after the other."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def follow(self, schedule: Schedule) -> Generator[list[Sampled], None, None]:
        """Run a schedule; the tokens that have come since the last look, as they come.

        Whatever interrupts the reader, the native program rests when this is left. A second Ctrl-C
        may come while the first lets the program end: the next schedule waits for that.
        """
        program = self._program
        self.rest()
        program.submit(schedule)
        try:
            finished = False
            while not finished:
                finished = program.wait(POLL_SECONDS)
                if fresh := program.poll():
                    yield fresh
        finally:
            self.rest()

    def run(self, schedule: Schedule) -> None:
        """Run a schedule that generates nothing."""
        for _ in self.follow(schedule):
            pass

    def rest(self) -> None:
        """Let a schedule that an interrupt has left running end after its step."""
        if not self._program.finished:
            self._program.cancel()
            self._program.wait()
