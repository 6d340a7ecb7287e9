"""Whole programs for AArch64, their workers emulated: memory is copied there and back."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.runtime.control import Control
from headrace.runtime.mailbox import Mailbox
from headrace.runtime.memory import Memory
from headrace.runtime.program import Program
from headrace.runtime.storage import Storage
from tests.codegen.arm import PROCESSORS, ArmLibrary
from tests.runtime.native import Native

_STACK = 1 << 20
_POLL_SECONDS = 0.001


class ArmProgram(Program):
    """A program as `Program` is one, whose code runs on an emulated processor."""

    def __init__(self, native: Native, processor: str, context: int) -> None:
        self.manifest = manifest = native.manifest
        self.workers, self.context, self.host_calls = manifest.workers, context, 0
        self.storage = Storage(manifest, native.packed, context)
        self._control = Control(self.workers)
        self._mailbox = Mailbox(manifest, self._control)
        self._profiles = np.zeros((self.workers, len(manifest.stages), 2), np.int64)
        self._connect()
        self._team: Any = _Team(self, native.code, processor)


class _Team:
    """Emulated workers; the methods are those of `headrace.runtime.workers.Workers`."""

    def __init__(self, program: ArmProgram, code: bytes, processor: str) -> None:
        self._library = ArmLibrary(code, ("post", "spawn"), PROCESSORS[processor].model)
        self._control = program._control
        held = vars(program.storage), vars(program._mailbox), vars(program)
        arrays = [array for each in held for array in _arrays(each.values())]
        self._regions = [_Region(array, *self._library.hold(array.nbytes)) for array in arrays]
        words = program._control._words
        self._words = words
        self._seen = words.copy()
        self._address, memory = self._library.hold(words.nbytes)
        self._there = memory.view(np.int64)
        self._control["spins"], self._control["yields"] = 20, 200
        self._there[:] = [self._translated(word) for word in words.tolist()]
        for worker in range(program.workers):
            start, _ = self._library.hold(_STACK)
            self._library.call("spawn", self._address, worker, start + _STACK)

    def require_idle(self) -> None:
        assert self.finished

    @property
    def finished(self) -> bool:
        return bool(self._there[abi.word("finished")] >= self._there[abi.word("epoch")])

    def issue(self, command: abi.Command) -> None:
        self._control["command"] = int(command)
        for region in self._regions:
            region.memory[:] = region.bytes
        # The workers write other words, even those that have finished.
        for index in np.flatnonzero(self._words != self._seen).tolist():
            self._there[index] = self._translated(int(self._words[index]))
        self._library.call("post", self._address)

    def wait(self, timeout: float | None = None) -> bool:
        end = perf_counter() + (timeout or np.inf)
        while not self.finished and perf_counter() < end:
            sleep(_POLL_SECONDS)
        for region in self._regions:
            if region.bytes.flags.writeable:
                region.bytes[:] = region.memory
        own = np.array([self._translated(word) == word for word in self._words.tolist()])
        self._words[own] = self._there[own]
        self._seen = self._words.copy()
        return self.finished

    def close(self) -> None:
        self.issue(abi.Command.EXIT)
        assert self.wait(60)

    def _translated(self, word: int) -> int:
        """Where the emulated program has what is at an address here; other words as they are."""
        for region in self._regions:
            if region.start <= word < region.start + region.bytes.size:
                return word - region.start + region.address
        return word


class _Region:
    """An array here, and its copy in the emulated program."""

    def __init__(self, array: NDArray[np.generic], address: int, memory: NDArray[np.uint8]) -> None:
        self.bytes = array.reshape(-1).view(np.uint8)
        self.start, self.address, self.memory = array.ctypes.data, address, memory


def _arrays(values: Any) -> Iterator[NDArray[np.generic]]:
    """The memory that objects hold."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, Memory):
            yield value.view()
        elif isinstance(value, list):
            yield from _arrays(value)
