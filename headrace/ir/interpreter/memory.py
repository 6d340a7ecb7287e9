"""Buffers that find races: every element knows what it holds and who touched it when."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.errors import ProgramError
from headrace.ir.interpreter.arrays import Mask
from headrace.ir.interpreter.clocks import Clocks, Execution, Times

Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Instance:
    """A stage's result in one of its executions."""

    execution: Execution
    result: int

    def __str__(self) -> str:
        return f"result {self.result} of @{self.execution.stage} (trip {self.execution.trip})"


@dataclass(frozen=True, slots=True)
class Place:
    """A buffer: its storage, its slot, and whose it is (-1: all workers')."""

    storage: str
    slot: int
    owner: int = -1


@dataclass(frozen=True, slots=True)
class Accessor:
    """Who reads or writes."""

    worker: int
    execution: Execution

    def __str__(self) -> str:
        return f"stage @{self.execution.stage} (trip {self.execution.trip}), worker {self.worker}"


@dataclass(slots=True)
class Slot:
    """Flat memory; float64 holds float32 features and int32 ids alike, NaN is poison.

    holds: the number of the instance in each element, -1 for none.
    writer, written: who wrote each element, and when.
    read: [workers, elements], when each worker last read each element, 0 for never.
    """

    data: Wide
    holds: Times
    writer: Times
    written: Times
    read: Times

    @classmethod
    def empty(cls, workers: int) -> Slot:
        none = np.empty(0, np.int64)
        return cls(np.empty(0), none, none, none, np.empty((workers, 0), np.int64))

    def reserve(self, size: int) -> None:
        missing = max(0, size - len(self.data))
        self.data = np.pad(self.data, (0, missing), constant_values=np.nan)
        self.holds = np.pad(self.holds, (0, missing), constant_values=-1)
        self.writer = np.pad(self.writer, (0, missing))
        self.written = np.pad(self.written, (0, missing))
        self.read = np.pad(self.read, ((0, 0), (0, missing)))


@dataclass(slots=True)
class Memory:
    """All buffers of one step. Every access is checked against the vector clocks."""

    clocks: Clocks
    slots: dict[Place, Slot] = field(default_factory=dict[Place, Slot])
    numbers: dict[Instance, int] = field(default_factory=dict[Instance, int])

    def write(
        self, by: Accessor, place: Place, instance: Instance, values: Wide, mask: Mask
    ) -> None:
        """Write the elements of `mask` of a flat value.

        Raises:
            ProgramError: another worker wrote or read one of them, and `by` did not wait for it.
        """
        slot = self._slot(place, len(mask))
        self._check_written(by, slot, instance, mask)
        self._check_read(by, slot, instance, mask)
        slot.data[: len(mask)][mask] = values[mask]
        slot.holds[: len(mask)][mask] = self._number(instance)
        slot.writer[: len(mask)][mask] = by.worker
        slot.written[: len(mask)][mask] = self.clocks.time(by.worker)

    def read(self, by: Accessor, place: Place, instance: Instance, mask: Mask) -> Wide:
        """The elements of `mask`; the others are NaN.

        Raises:
            ProgramError: one of them does not hold the instance, or `by` did not wait for it.
        """
        slot = self._slot(place, len(mask))
        self._check_holds(by, slot, instance, mask)
        self._check_written(by, slot, instance, mask)
        slot.read[by.worker, : len(mask)][mask] = self.clocks.time(by.worker)
        return np.where(mask, slot.data[: len(mask)], np.nan)

    def final(self, place: Place, instance: Instance, size: int) -> Wide:
        """A whole value, after all workers have ended."""
        by = Accessor(0, instance.execution)
        slot = self._slot(place, size)
        self._check_holds(by, slot, instance, np.ones(size, np.bool_))
        return slot.data[:size]

    def _slot(self, place: Place, size: int) -> Slot:
        slot = self.slots.setdefault(place, Slot.empty(len(self.clocks.known)))
        slot.reserve(size)
        return slot

    def _number(self, instance: Instance) -> int:
        return self.numbers.setdefault(instance, len(self.numbers))

    def _numbered(self, number: int) -> Instance:
        return list(self.numbers)[number]

    def _check_holds(self, by: Accessor, slot: Slot, instance: Instance, mask: Mask) -> None:
        held = slot.holds[: len(mask)][mask]
        other = held[held != self._number(instance)]
        if len(other):
            found = "nothing" if other[0] < 0 else str(self._numbered(int(other[0])))
            raise ProgramError(f"{instance} is read where {found} is", where=str(by))

    def _check_written(self, by: Accessor, slot: Slot, instance: Instance, mask: Mask) -> None:
        writer, written = slot.writer[: len(mask)][mask], slot.written[: len(mask)][mask]
        late = np.flatnonzero(written > self.clocks.known[by.worker][writer])
        if len(late):
            held = self._numbered(int(slot.holds[: len(mask)][mask][late[0]]))
            raise _race(by, instance, f"worker {writer[late[0]]} wrote {held}", held.execution)

    def _check_read(self, by: Accessor, slot: Slot, instance: Instance, mask: Mask) -> None:
        for worker, times in enumerate(slot.read[:, : len(mask)]):
            late = mask & (times > self.clocks.known[by.worker, worker])
            if late.any():
                held = self._numbered(int(slot.holds[np.flatnonzero(late)[0]]))
                raise _race(by, instance, f"worker {worker} still reads {held}", held.execution)


def _race(by: Accessor, instance: Instance, other: str, execution: Execution) -> ProgramError:
    return ProgramError(
        f"no token edge orders the access to {instance}: {other}",
        where=str(by),
        hint=f"@{by.execution.stage} must wait, through others or itself, for that use of"
        f" @{execution.stage}'s result",
    )
