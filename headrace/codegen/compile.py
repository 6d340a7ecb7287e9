"""Mapped program in, object code and manifest out."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from headrace.codegen.describe import manifest_of
from headrace.codegen.manifest import Manifest
from headrace.codegen.target import Target, compile_object
from headrace.codegen.worker import WorkerCode

#: Tokens of one step at most; longer prompts are fed in chunks.
MAX_TOKENS = 256


def compile_program(
    module: ModuleOp, target: Target, *, trace: bool = False, max_tokens: int = MAX_TOKENS
) -> tuple[bytes, Manifest]:
    """Compile a mapped module for a target.

    trace: the program records what each worker does, and when (`codegen/record.py`).

    Raises:
        ProgramError: the module is not fully mapped or not of a form that has code.
        UnsupportedFormatError: a weight's storage format has no kernel.
    """
    code = WorkerCode(module, target, max_tokens, trace=trace)
    native = compile_object(code.build(), target)
    return native, manifest_of(code.plan)
