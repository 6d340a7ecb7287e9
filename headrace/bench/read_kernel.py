"""The bandwidth probe's kernel: reads memory and does nothing else."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from llvmlite import ir

from headrace.codegen.sweep import sweep_bytes
from headrace.codegen.target import NativeLibrary, Target, compile_object
from headrace.codegen.tile import I64, PTR, function

_NAME = "read_memory"


class ReadKernel:
    """The native function `(address, bytes, passes)`; the interpreter runs on meanwhile."""

    def __init__(self) -> None:
        target = Target.host()
        self._library = NativeLibrary(_object(target), (_NAME,), target)
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self.call: Callable[[int, int, int], None] = signature(self._library.address(_NAME))


def _object(target: Target) -> bytes:
    module = ir.Module("headrace-read")
    module.triple = target.triple
    sweep = sweep_bytes(module, target.special)
    e, (start, size, passes) = function(
        module, _NAME, [PTR, I64, I64], target.special, exported=True
    )
    with e.range(0, passes):
        e.call(sweep, start, size)
    e.give()
    return compile_object(module, target)
