"""Kernels for AArch64 as functions of NumPy arrays, run by qemu's user-mode emulator.

A program of the kernels and `arm_start.s` shares a file of memory with this process: arguments are
copied there, and what the kernel changed is copied back.
"""

from __future__ import annotations

import mmap
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.codegen.target import Target
from tests.codegen.frames import FrameMemory

Array = NDArray[np.generic]
Argument = Array | FrameMemory | int | None

EMULATOR, LINKER, ASSEMBLER = "qemu-aarch64", "aarch64-linux-gnu-ld", "aarch64-linux-gnu-as"
_MISSING = [name for name in (EMULATOR, LINKER, ASSEMBLER) if shutil.which(name) is None]

needs_emulator = pytest.mark.skipif(
    bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)} (see CONTRIBUTING.md)"
)

#: Where the shared memory is in the emulated program, and its size.
_ARENA, _BYTES = 0x10_0000_0000, 1 << 28
#: The kernel's number and its arguments come first.
_HEADER, _ARGUMENTS = 4096, 16
#: Between arrays there are bytes that no kernel may change; as floats they are NaN.
_GUARD, _ALIGN = 64, 64

_START = Path(__file__).with_name("arm_start.s")


@dataclass(frozen=True)
class Processor:
    """What code is compiled for, and the model of a processor that has no more."""

    model: str
    features: str

    @property
    def target(self) -> Target:
        return Target("aarch64-unknown-linux-gnu", "generic", self.features)


PROCESSORS = {
    "neon": Processor("cortex-a57", "+neon"),
    "dotprod": Processor("neoverse-n1", "+neon,+dotprod,+fullfp16"),
    "i8mm": Processor("max", "+neon,+dotprod,+fullfp16,+i8mm,+bf16"),
}


class ArmLibrary:
    """Compiled kernels by name, in an emulated program that waits for calls."""

    def __init__(self, code: bytes, names: Sequence[str], model: str) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._directory = tempfile.TemporaryDirectory(prefix="headrace-arm-")
        place = Path(self._directory.name)
        program, memory = _link(place, code, names), place / "memory"
        with memory.open("wb+") as file:
            file.truncate(_BYTES)
            self._memory = np.frombuffer(mmap.mmap(file.fileno(), _BYTES), np.uint8)
        command = [EMULATOR, "-cpu", model, str(program), str(memory)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._top = _BYTES
        self._calling = threading.Lock()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._end = weakref.finalize(self, _end, self._process, self._directory)

    def hold(self, bytes: int) -> tuple[int, NDArray[np.uint8]]:
        """Memory of the emulated program that calls leave alone: its address there, and itself."""
        self._top = (self._top - bytes) // _ALIGN * _ALIGN
        return _ARENA + self._top, self._memory[self._top : self._top + bytes]

    def call(self, name: str, *arguments: Argument) -> int | None:
        """Call a kernel: arrays are passed by address, integers as i64; one call at a time."""
        with self._calling:
            return self._call(name, *arguments)

    def _call(self, name: str, *arguments: Argument) -> int | None:
        arena = _Arena(self._memory[: self._top])
        values = [self._numbers[name], *map(arena.place, arguments)]
        assert len(values) <= 1 + _ARGUMENTS
        header = self._memory[:_HEADER].view(np.int64)
        header[: len(values)] = values
        self._requests.write(b"\0")
        assert self._answers.read(1), f"the emulator ended with {self._process.wait()}"
        arena.give_back()
        return int(header[0])


def _link(place: Path, code: bytes, names: Sequence[str]) -> Path:
    """A program of the kernels, without a C library."""
    kernels, start, program = place / "kernels.o", place / "start.o", place / "program"
    kernels.write_bytes(code)
    table = "".join(f"        .quad   {name}\n" for name in names)
    source = f"{_START.read_text()}\n        .data\n        .balign 8\nkernels:\n{table}"
    memory = [f"--defsym=ARENA={_ARENA}", f"--defsym=ARENA_BYTES={_BYTES}"]
    assemble = [ASSEMBLER, *memory, "-o", str(start), "-"]
    subprocess.run(assemble, input=source.encode(), check=True)
    subprocess.run([LINKER, "-static", "-o", program, start, kernels], check=True)
    return program


def _end(process: subprocess.Popen[bytes], directory: tempfile.TemporaryDirectory[str]) -> None:
    process.communicate()  # the end of its input ends it
    directory.cleanup()


class _Arena:
    """The memory of one call."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self._memory = memory
        self._end = _HEADER
        self._placed: dict[tuple[int, int], int] = {}
        self._arrays: list[tuple[Array, int]] = []
        self._frames: list[tuple[FrameMemory, int]] = []
        self._gap()

    def place(self, argument: Argument) -> int:
        """What the kernel is given for an argument."""
        if argument is None or isinstance(argument, int):
            return argument or 0
        if isinstance(argument, np.ndarray):
            return _ARENA + self._array(argument)
        words = argument.array.copy()
        for index, array in argument.arrays.items():
            words[index] = self.place(array)
        start = self._store(words)
        self._frames.append((argument, start))
        return _ARENA + start

    def _array(self, array: Array) -> int:
        key = array.ctypes.data, array.nbytes
        if key not in self._placed:
            self._placed[key] = self._store(array)
            self._arrays.append((array, self._placed[key]))
        return self._placed[key]

    def _store(self, array: Array) -> int:
        assert array.flags.c_contiguous
        start = self._end
        self._view(start, array)[:] = array.reshape(-1)
        self._end = start + array.nbytes
        self._gap()
        return start

    def _view(self, start: int, array: Array) -> Array:
        return self._memory[start : start + array.nbytes].view(array.dtype)

    def _gap(self) -> None:
        end = -(-(self._end + _GUARD) // _ALIGN) * _ALIGN
        assert end <= self._memory.size
        self._memory[self._end : end] = 0xFF
        self._end = end

    def give_back(self) -> None:
        """Copy arrays back, after a look at what lies between them."""
        for array, start in self._arrays:
            behind = start + array.nbytes
            assert (self._memory[behind : behind + _GUARD] == 0xFF).all()
            if array.flags.writeable:
                array.reshape(-1)[:] = self._view(start, array)
        for frame, start in self._frames:
            numbers = np.isin(np.arange(frame.array.size), list(frame.arrays), invert=True)
            frame.array[numbers] = self._view(start, frame.array)[numbers]
