"""Threads that live in native code: started once, asleep until the host raises the epoch."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from time import perf_counter, sleep

from headrace.codegen import abi
from headrace.codegen.target import NativeLibrary
from headrace.errors import MachineError
from headrace.runtime.control import Control
from headrace.runtime.futex import futex_wait

#: Looks at another worker's counter before sleeping: about 20 microseconds, where every worker has
#: a core of its own; where it has not, the core is needed by who is being waited for.
SPINS, SPINS_SHARED = 1500, 20

#: Times a worker gives its core to the others that share it, before sleeping.
YIELDS_SHARED = 200

_POLL_SECONDS = 0.001

_ENTER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_POST = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

Enter = Callable[[int, int], None]
Post = Callable[[int], None]


class Workers:
    """The worker threads of one program; `close` (or the garbage collector) ends them.

    cpus: the processors to run on. Workers are pinned when there is a processor for each.
    kept: what the native program uses, not to be freed before the threads have ended.

    Raises:
        MachineError: a processor is not allowed, or threads cannot be started.
    """

    def __init__(
        self,
        library: NativeLibrary,
        control: Control,
        count: int,
        cpus: Sequence[int],
        kept: object,
    ) -> None:
        _require_allowed(cpus)
        self._control = control
        self._post = _POST(library.address("post"))
        own = count <= len(cpus)
        control["spins"] = SPINS if own else SPINS_SHARED
        control["yields"] = 0 if own else YIELDS_SHARED
        # The host may always be asleep on `finished`: worker 0 wakes it at the end of a command.
        control.set_sleeper("finished")
        enter = _ENTER(library.address("worker"))
        places = [{cpus[worker]} if own else set(cpus) for worker in range(count)]
        threads = _start(enter, control.address, places)
        self._closer = weakref.finalize(self, _leave, control, self._post, threads, (library, kept))

    @property
    def finished(self) -> bool:
        """Whether the last command has ended."""
        return self._control["finished"] >= self._control["epoch"]

    def require_idle(self) -> None:
        """Raise `MachineError` unless the workers wait for a command."""
        if not self._closer.alive:
            raise MachineError("the program is closed")
        if not self.finished:
            raise MachineError("a schedule is still running", hint="wait for it, or cancel it")

    def issue(self, command: abi.Command) -> None:
        """Wake the workers for a command; returns at once.

        Raises:
            MachineError: the last command has not ended, or the workers have.
        """
        self.require_idle()
        self._control["command"] = int(command)
        self._post(self._control.address)

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until the command has ended, `timeout` seconds at most; whether it has."""
        end = None if timeout is None else perf_counter() + timeout
        place = self._control.place("finished")
        while not self.finished:
            left = None if end is None else end - perf_counter()
            if left is not None and left <= 0:
                return False
            futex_wait(place, self._control["epoch"] - 1, left)
        return True

    def close(self) -> None:
        """Let a running schedule end after its step, then end the threads."""
        self._closer()


def _require_allowed(cpus: Sequence[int]) -> None:
    missing = sorted(set(cpus) - os.sched_getaffinity(0))
    if missing or not cpus:
        raise MachineError(
            f"this process may not run on processors {missing}" if missing else "no processors",
            hint=f"allowed: {sorted(os.sched_getaffinity(0))}",
        )


def _start(enter: Enter, control: int, places: Sequence[set[int]]) -> list[threading.Thread]:
    """A thread for each set of processors, all in native code, or none."""
    threads: list[threading.Thread] = []
    gate = threading.Event()

    def live(worker: int) -> None:
        gate.wait()
        if len(threads) == len(places):
            os.sched_setaffinity(0, places[worker])
            enter(control, worker)

    try:
        for worker in range(len(places)):
            thread = threading.Thread(
                target=live, args=(worker,), name=f"headrace-{worker}", daemon=True
            )
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        raise MachineError(f"no thread for worker {len(threads)}: {error}") from error
    finally:
        gate.set()
    return threads


def _leave(control: Control, post: Post, threads: list[threading.Thread], kept: object) -> None:
    """Ask the workers to leave, and wait until they have."""
    control["cancel"] = 1
    while control["finished"] < control["epoch"]:
        sleep(_POLL_SECONDS)
    control["command"] = int(abi.Command.EXIT)
    post(control.address)
    for thread in threads:
        thread.join()
    del kept
