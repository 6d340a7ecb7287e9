"""The emitter, complete, and the start of a function."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from headrace.codegen.tile.arithmetic import Arithmetic
from headrace.codegen.tile.control import Control
from headrace.codegen.tile.memory import Memory
from headrace.codegen.tile.types import VOID
from headrace.codegen.tile.value import Raw, Value


class Emitter(Arithmetic, Memory, Control):
    """Emits the body of one function: what kernels are written with."""


def function(
    module: ir.Module,
    name: str,
    arguments: Sequence[ir.Type],
    features: frozenset[str],
    *,
    result: ir.Type = VOID,
    exported: bool = False,
) -> tuple[Emitter, list[Value]]:
    """Start a function: its emitter and its arguments."""
    fn: Raw = ir.Function(module, ir.FunctionType(result, list(arguments)), name)
    if not exported:
        fn.linkage = "internal"
    fn.attributes.add("nounwind")
    emitter = Emitter(module, fn, features)
    return emitter, [Value(emitter, argument) for argument in fn.args]
