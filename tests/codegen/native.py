"""Kernels as functions of NumPy arrays, for this machine with and without its special features."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from llvmlite import ir
from numpy.typing import NDArray

from headrace.codegen.isa import ISAS
from headrace.codegen.target import NativeLibrary, Target, compile_object
from headrace.codegen.tile import F32, I64, LANES, PTR, Emitter, Value, function, vector
from tests.codegen.arm import PROCESSORS, Argument, ArmLibrary, needs_emulator
from tests.codegen.frames import FrameMemory

#: This machine with all that it has, limited to AVX2, and with no lowering of its own.
_HOST = {
    "special": Target.host(),
    "avx2": Target.host(without=ISAS["avx2"].without),
    "plain": Target.host(without=(*ISAS["avx"].without, "ssse3")),
}
#: Those that differ from others in products alone.
_PRODUCTS = {
    "avx512bw": Target.host(without=("avx512vnni",)),
    "ssse3": Target.host(without=ISAS["avx"].without),
}
_ARM = {name: each.target for name, each in PROCESSORS.items()}
TARGETS = _HOST | _PRODUCTS | _ARM


def lowerings(*names: str, slow: bool = False) -> list[ParameterSet]:
    """Names of targets for `pytest.mark.parametrize`; those of other machines are emulated."""
    return [pytest.param(name, marks=marks(name, slow=slow)) for name in names]


def marks(name: str, *, slow: bool) -> list[pytest.MarkDecorator]:
    """What tests on a target need; slow: whether they are slow where it is emulated."""
    return [needs_emulator, *([pytest.mark.slow] if slow else [])] if name in _ARM else []


LOWERINGS = tuple(_HOST)
EVERY_LOWERING = lowerings(*_HOST, *_ARM, slow=True)
EVERY_PRODUCT = lowerings(*TARGETS)

Kernel = Callable[[ir.Module, frozenset[str]], ir.Function]


class Library(Protocol):
    """Compiled kernels by name."""

    def call(self, name: str, *arguments: Argument) -> int | None:
        """Call a kernel: arrays are passed by address, integers as i64."""
        ...


@dataclass(frozen=True)
class HostLibrary:
    """Kernels in this process."""

    native: NativeLibrary
    kinds: dict[str, tuple[type, ...]]
    results: dict[str, type | None]

    def call(self, name: str, *arguments: Argument) -> int | None:
        """Call a kernel: arrays are passed by address, integers as i64."""
        types = self.kinds[name]
        entry = ctypes.CFUNCTYPE(self.results[name], *types)(self.native.address(name))
        values = [_raw(argument) for argument in arguments]
        assert len(values) == len(types)
        return entry(*values)


def _raw(argument: Argument) -> int | None:
    if isinstance(argument, FrameMemory):
        return argument.array.ctypes.data
    return argument.ctypes.data if isinstance(argument, np.ndarray) else argument


def emit(target: Target, *kernels: Kernel) -> tuple[ir.Module, list[ir.Function]]:
    """A module with some kernels, which it exports."""
    module = ir.Module("kernels")
    module.triple = target.triple
    functions = [kernel(module, target.special) for kernel in kernels]
    for each in functions:
        each.linkage = ""
    return module, functions


def build(target: Target, *kernels: Kernel) -> Library:
    module, functions = emit(target, *kernels)
    names = tuple(each.name for each in functions)
    code = compile_object(module, target)
    for processor in PROCESSORS.values():
        if target == processor.target:
            return ArmLibrary(code, names, processor.model)
    kinds = {
        each.name: tuple(
            ctypes.c_void_p if argument.type == PTR else ctypes.c_int64 for argument in each.args
        )
        for each in functions
    }
    results = {
        each.name: ctypes.c_int64 if each.ftype.return_type == I64 else None for each in functions
    }
    library = NativeLibrary(code, names, target)
    return HostLibrary(library, kinds, results)


def elementwise(name: str, compute: Callable[..., Value], inputs: int = 1) -> Kernel:
    """The kernel `(inputs.., out, count)` of a function on vectors of float32."""

    def kernel(module: ir.Module, features: frozenset[str]) -> ir.Function:
        e, (*sources, out, count) = function(module, name, [PTR] * (inputs + 1) + [I64], features)
        with e.range(0, count, LANES) as index:
            values = [e.load(e.offset(each, index, F32), vector(F32)) for each in sources]
            e.store(compute(e, *values), e.offset(out, index, F32))
        e.give()
        return e.function

    return kernel


def apply(library: Library, name: str, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """An element-wise kernel over arrays of any length."""
    count = inputs[0].size
    padded = [np.pad(each.ravel(), (0, -count % LANES)) for each in inputs]
    out = np.empty(padded[0].size, np.float32)
    library.call(name, *padded, out, out.size)
    return out[:count]


def body(name: str, arguments: int, write: Callable[..., None], counts: int = 0) -> Kernel:
    """The kernel of `arguments` pointers and then `counts` integers whose body `write` emits."""

    def kernel(module: ir.Module, features: frozenset[str]) -> ir.Function:
        e: Emitter
        e, values = function(module, name, [PTR] * arguments + [I64] * counts, features)
        write(e, *values)
        e.give()
        return e.function

    return kernel


def ulps(actual: NDArray[np.float32], exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances in units of the last place of the exact result as float32."""
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return np.abs(actual.astype(np.float64) - exact) / unit
