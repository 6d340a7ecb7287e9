"""A worker's frame in NumPy: what kernels that take a frame find in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.codegen.frame import FIELDS

Word = NDArray[np.generic] | int


class FrameMemory:
    """A frame's fields and the control block's words; arrays are held and set by address.

    arrays: what the fields with addresses point to, by the field's number.
    """

    def __init__(self, **fields: Word) -> None:
        self.array = np.zeros(len(FIELDS), np.int64)
        self.control = np.zeros(abi.control_words(1), np.int64)
        self.arrays: dict[int, NDArray[np.generic]] = {}
        self.set(control=self.control, **fields)

    def set(self, **fields: Word) -> None:
        for name, value in fields.items():
            index = FIELDS.index(name)
            self.arrays.pop(index, None)
            if not isinstance(value, int):
                self.arrays[index] = value
                value = value.ctypes.data
            self.array[index] = value

    def copy(self) -> FrameMemory:
        """Another frame of the same control block and arrays."""
        other = FrameMemory()
        other.control, other.arrays = self.control, self.arrays.copy()
        other.array[:] = self.array
        return other

    def get(self, name: str) -> int:
        return int(self.array[FIELDS.index(name)])

    def set_control(self, **words: float) -> None:
        for name, value in words.items():
            kind = np.float64 if isinstance(value, float) else np.int64
            self.control.view(kind)[abi.word(name)] = value
