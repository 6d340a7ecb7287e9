"""The tile language: a thin layer over `llvmlite.ir` in which kernels are written.

A kernel is a Python function that emits code through an `Emitter`: values have operators, loops
are `with` statements, Python loops unroll. Vectors have LANES lanes on every target; LLVM splits
them where the machine's registers are narrower.
"""

from __future__ import annotations

from headrace.codegen.tile.emitter import Emitter, function
from headrace.codegen.tile.types import (
    CACHE_LINE,
    F16,
    F32,
    F64,
    I1,
    I8,
    I16,
    I32,
    I64,
    LANES,
    PTR,
    VOID,
    Locality,
    size_of,
    vector,
)
from headrace.codegen.tile.value import Value, Variable

__all__ = [
    "CACHE_LINE",
    "F16",
    "F32",
    "F64",
    "I1",
    "I8",
    "I16",
    "I32",
    "I64",
    "LANES",
    "PTR",
    "VOID",
    "Emitter",
    "Locality",
    "Value",
    "Variable",
    "function",
    "size_of",
    "vector",
]
