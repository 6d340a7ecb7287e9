"""The multiplier probe's kernel: 8-bit multiply-adds on registers, and nothing else."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
from llvmlite import ir

from headrace.codegen.primitives import dot_u8s8
from headrace.codegen.target import NativeLibrary, Target, compile_object
from headrace.codegen.tile import I8, I32, I64, LANES, PTR, function, vector

#: Independent sums: more than the instruction's latency takes.
CHAINS = 12

_NAME, _BYTES = "multiply_registers", 64


class MultiplyKernel:
    """Multiplies bytes as products do; the interpreter runs on meanwhile."""

    #: Multiply-adds of one round.
    round_macs = CHAINS * LANES * 4

    def __init__(self, target: Target) -> None:
        self._library = NativeLibrary(_object(target), (_NAME,), target)
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self._call: Callable[[int, int], None] = signature(self._library.address(_NAME))

    def run(self, rounds: int) -> None:
        """Compute that many rounds."""
        operands = np.ones(2 * _BYTES, np.uint8)
        self._call(operands.ctypes.data, rounds)


def _object(target: Target) -> bytes:
    module = ir.Module("headrace-multiply")
    module.triple = target.triple
    e, (operands, rounds) = function(module, _NAME, [PTR, I64], target.special, exported=True)
    sums = [e.variable(e.const(0, vector(I32))) for _ in range(CHAINS)]
    with e.range(0, rounds):
        # Read again each time, or LLVM would multiply once and count the rounds.
        place = e.opaque(operands)
        unsigned, signed = (e.load(e.offset(place, at), vector(I8, _BYTES)) for at in (0, _BYTES))
        for each in sums:
            each.set(dot_u8s8(e, each.get(), unsigned, signed))
    total = sums[0].get()
    for each in sums[1:]:
        total = total ^ each.get()
    e.store(total, operands)
    e.give()
    return compile_object(module, target)
