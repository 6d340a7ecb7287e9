"""The control block: words of memory that the host and the native program share."""

from __future__ import annotations

import numpy as np

from headrace.codegen import abi
from headrace.runtime.memory import Memory


class Control:
    """Words by name; `headrace.codegen.abi` says who writes which, and when."""

    def __init__(self, workers: int) -> None:
        self._memory = Memory(8 * abi.control_words(workers))
        self._words = self._memory.view().view(np.int64)

    @property
    def address(self) -> int:
        return self._memory.address

    def place(self, name: str) -> int:
        """The address of a word."""
        return self.address + 8 * abi.word(name)

    def __getitem__(self, name: str) -> int:
        return int(self._words[abi.word(name)])

    def __setitem__(self, name: str, value: int) -> None:
        self._words[abi.word(name)] = value

    def set_sleeper(self, name: str) -> None:
        """Say that somebody may be asleep on a polled word: whoever raises it wakes them."""
        self._words[abi.word(name) + abi.SLEEPERS] = 1

    def set_worker(self, worker: int, name: str, value: int) -> None:
        """A word that belongs to one worker."""
        self._words[abi.worker_word(worker, name)] = value
