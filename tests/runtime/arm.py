"""Whole programs for AArch64, their workers emulated: memory is copied there and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.runtime.memory import Memory
from headrace.runtime.program import Program
from tests.codegen.arm import PROCESSORS, ArmLibrary
from tests.runtime.native import Native

Words = NDArray[np.int64]

_STACK = 1 << 20
_POLL_SECONDS = 0.001


class ArmProgram(Program):
    """A program whose workers were sent home: emulated ones do their work.

    here: the program compiled for this machine. there: for a processor in `PROCESSORS`.
    """

    def __init__(self, here: Native, there: Native, processor: str, context: int) -> None:
        assert here.manifest == there.manifest
        super().__init__(here.manifest, here.code, here.packed, context=context)
        self._team.close()
        control = self._control
        for name in ("epoch", "finished", "cancel"):
            control[name] = 0
        for worker in range(self.workers):
            control.set_worker(worker, "counter", 0)
        control["spins"], control["yields"] = 20, 200
        held = vars(self.storage), vars(self._mailbox), vars(self)
        arrays = [each for fields in held for each in _arrays(fields.values())]
        self._team: Any = _Team(there.code, processor, self.workers, control._words, arrays)


class _Team:
    """Emulated workers; the methods are those of `headrace.runtime.workers.Workers`."""

    def __init__(
        self,
        code: bytes,
        processor: str,
        workers: int,
        control: Words,
        arrays: Iterable[NDArray[np.generic]],
    ) -> None:
        self._library = ArmLibrary(code, ("post", "spawn"), PROCESSORS[processor].model)
        self._regions = [_Region(each, *self._library.hold(each.nbytes)) for each in arrays]
        self._address, memory = self._library.hold(control.nbytes)
        self._here, self._there = control, memory.view(np.int64)
        self._seen = control.copy()
        self._there[:] = self._translated(control)
        for worker in range(workers):
            start, _ = self._library.hold(_STACK)
            self._library.call("spawn", self._address, worker, start + _STACK)

    def require_idle(self) -> None:
        assert self.finished

    @property
    def finished(self) -> bool:
        return bool(self._there[abi.word("finished")] >= self._there[abi.word("epoch")])

    def issue(self, command: abi.Command) -> None:
        self._here[abi.word("command")] = int(command)
        for region in self._regions:
            array = region.array
            region.copy[:] = self._translated(array) if array.dtype == np.int64 else array
        # The workers write other words, even those that have finished.
        changed = self._here != self._seen
        self._there[changed] = self._translated(self._here)[changed]
        self._library.call("post", self._address)

    def wait(self, timeout: float | None = None) -> bool:
        end = perf_counter() + (np.inf if timeout is None else timeout)
        while not self.finished and perf_counter() < end:
            sleep(_POLL_SECONDS)
        for region in self._regions:
            if region.array.dtype == np.int64:
                self._take(region.array, region.copy)
            elif region.array.flags.writeable:
                region.array[:] = region.copy
        self._take(self._here, self._there)
        self._seen = self._here.copy()
        return self.finished

    def close(self) -> None:
        self.issue(abi.Command.EXIT)
        assert self.wait(60)

    def _take(self, here: Words, there: Words) -> None:
        """Copy all words but addresses back."""
        numbers = self._translated(here) == here
        here[numbers] = there[numbers]

    def _translated(self, words: Words) -> Words:
        """Words with the addresses that the emulated program has for what is here."""
        result = words.copy()
        for region in self._regions:
            inside = (words >= region.start) & (words < region.start + region.array.nbytes)
            result[inside] += region.address - region.start
        return result


class _Region:
    """An array, flat, and its copy in the emulated program."""

    def __init__(self, array: NDArray[np.generic], address: int, memory: NDArray[np.uint8]) -> None:
        self.array, self.start = array.reshape(-1), array.ctypes.data
        self.copy, self.address = memory.view(array.dtype), address


def _arrays(values: Iterable[Any]) -> Iterator[NDArray[np.generic]]:
    """The memory that objects hold."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, Memory):
            yield value.view()
        elif isinstance(value, list | dict):
            yield from _arrays(value.values() if isinstance(value, dict) else value)
