"""Programs made by hand on the way of real ones: mapped, compiled, packed and run."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from headrace.checkpoint.tensors import StoredTensor
from headrace.codegen.compile import compile_program
from headrace.codegen.manifest import Manifest
from headrace.codegen.target import Target
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import storage_format
from headrace.ir.interpreter import Interpreter
from headrace.ir.program_ops import WeightOp
from headrace.passes.pipeline import map_program
from headrace.runtime.pack import pack
from headrace.runtime.program import Program
from tests.runtime.driving import ids, logits, poison

Floats = NDArray[np.float32]

_temporary = tempfile.TemporaryDirectory(prefix="headrace-")


class Native:
    """A captured program, compiled for some workers; its weights are random.

    Attributes:
        module: the program with its formats, for the interpreter.
    """

    def __init__(
        self,
        module: ModuleOp,
        workers: int,
        max_tokens: int = 64,
        target: Target | None = None,
        mapping: str = "auto",
    ) -> None:
        self._types = {
            name: op.result.type
            for op in module.walk()
            if isinstance(op, WeightOp)
            for name in op.names()
        }
        mapped, kept = module.clone(), list[ModuleOp]()

        def observe(name: str, changed: ModuleOp) -> None:
            if name == "choose-formats":
                kept.append(changed.clone())

        map_program(mapped, workers, observer=observe, mapping=mapping)
        (self.module,) = kept
        code, self.manifest = compile_program(
            mapped, target or Target.host(), max_tokens=max_tokens
        )
        self.manifest = Manifest.from_json(self.manifest.to_json())
        self.code = code
        self.packed = Path(tempfile.mkdtemp(dir=_temporary.name)) / "packed"
        pack(self.manifest, self.weight, self.packed)

    def weight(self, name: str) -> StoredTensor:
        """Norms' weights are near 1, matrices keep the size of what they multiply."""
        kind = self._types[name]
        format = storage_format(kind.format.data)
        random = np.random.default_rng(zlib.crc32(name.encode()))
        if format.encode is None:
            raw = random_matrix(random, format, *kind.shape, deviation=kind.shape[1] ** -0.5)
            return StoredTensor(name, format, kind.shape, raw)
        values = random.standard_normal(kind.shape)
        values = values / np.sqrt(kind.shape[-1]) if len(kind.shape) == 2 else 1 + 0.3 * values
        raw = format.quantise(np.atleast_2d(values).astype(np.float32))
        return StoredTensor(name, format, kind.shape, raw)

    def open(self, context: int | None = None) -> Program:
        return Program(self.manifest, self.code, self.packed, context=context)

    def reference(self, tokens: int, context: int | None = None) -> Floats:
        """The interpreter's logits of a random prompt, `[tokens, vocabulary]`.

        What the program stores in fewer bits is rounded here too.
        """
        interpreter = Interpreter(
            self.module,
            lambda name: self.weight(name).dequantise(),
            quantise_activations=True,
            context=context,
        )
        steps = range(tokens)
        return interpreter.step(self._prompt(tokens), steps, [0] * tokens, steps)[0]

    def logits(self, chunks: Sequence[int], context: int | None = None) -> Floats:
        """The program's logits of the same prompt, fed in chunks, over poisoned memory."""
        with self.open(context) as program:
            poison(program)
            return logits(program, self._prompt(sum(chunks)), chunks)

    def _prompt(self, tokens: int) -> NDArray[np.int32]:
        return ids(tokens, self.manifest.vocabulary)


def check_native(
    module: ModuleOp,
    workers: int,
    chunks: Sequence[Sequence[int]],
    context: int | None = None,
    mapping: str = "auto",
) -> Native:
    """Compare with the interpreter: the logits of a prompt, however it is fed.

    With float32 weights, sums of some hundred terms in another order are off by some 1e-6 of the
    largest logit, and some ten layers' norms pass that on. Where inputs of products are rounded to
    8 bits, a few may be rounded the other way: see `test_logits`.
    """
    native = Native(module, workers, mapping=mapping)
    tolerance = 1e-4 if native.manifest.cache.format == "f32" else 1e-2
    expected = native.reference(sum(chunks[0]), context)
    for each in chunks:
        error = np.abs(native.logits(each, context) - expected).max()
        assert error <= tolerance * np.abs(expected).max(), (error, np.abs(expected).max(), each)
    return native
