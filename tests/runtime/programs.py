"""Tiny random models on the way that real ones take: captured, mapped, compiled, packed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from headrace.checkpoint.binding import bind
from headrace.checkpoint.source import Source, open_checkpoint, resolve
from headrace.checkpoint.tensors import StoredTensor
from headrace.codegen.compile import compile_program
from headrace.codegen.manifest import Manifest
from headrace.codegen.target import Target
from headrace.formats.quantise import convert
from headrace.formats.storage import storage_format
from headrace.frontend.capture import capture_checkpoint
from headrace.ir.dialect import parse_program, print_program
from headrace.ir.interpreter import Interpreter
from headrace.passes.choose_formats import CHOICES
from headrace.passes.pipeline import map_program
from headrace.runtime.pack import pack
from headrace.runtime.program import Program
from tests.frontend.models import family, random_model, save_directory, save_gguf

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Captured:
    """A model's captured program as text, and its stored weights."""

    text: str
    weights: Callable[[str], StoredTensor]


@dataclass(frozen=True)
class Case:
    """A model, and how it is compiled. `model`: SHAPE@FORMAT, or a family's tiny configuration.

    stored: formats of a family's matrices by a part of their names in a GGUF file.
    """

    model: str
    workers: int = 2
    weights: str = "auto"
    trace: bool = False
    stored: tuple[tuple[str, str], ...] = ()
    kv: str = "auto"


@dataclass(frozen=True)
class Built:
    """A compiled case; `module` is the program with its formats, for the interpreter."""

    manifest: Manifest
    code: bytes
    packed: Path
    module: ModuleOp
    weights: Callable[[str], StoredTensor]
    format: str

    def open(self, **options: object) -> Program:
        return Program(self.manifest, self.code, self.packed, **options)

    def interpreter(self, rounded: bool) -> Interpreter:
        """The reference; rounded: activations and KV entries as in their storage formats."""
        return Interpreter(self.module, self._values, quantise_activations=rounded)

    def _values(self, name: str) -> Floats:
        """A weight as the program reads it: matrices in the format that was asked for."""
        values = self.weights(name).dequantise()
        chosen = CHOICES[self.format]
        if chosen is None or values.ndim == 1:
            return values
        format = storage_format(chosen)
        return format.dequantise(convert(values, format), values.shape[1])


_temporary = tempfile.TemporaryDirectory(prefix="headrace-")


def _new_directory() -> Path:
    return Path(tempfile.mkdtemp(dir=_temporary.name))


@cache
def captured(model: str, stored: tuple[tuple[str, str], ...] = ()) -> Captured:
    source = resolve(f"random:{model}") if "@" in model else _saved(model, dict(stored))
    checkpoint = open_checkpoint(source)
    found = capture_checkpoint(source, checkpoint)
    bindings = found.bindings
    return Captured(print_program(found.module), lambda name: bind(checkpoint, bindings[name]))


def _saved(name: str, stored: dict[str, str]) -> Source:
    model, directory = random_model(family(name)), _new_directory()
    if not stored:
        return save_directory(model, directory)
    return save_gguf(model, directory / "model.gguf", name, formats=stored)


@cache
def built(case: Case) -> Built:
    model = captured(case.model, case.stored)
    module = parse_program(model.text)
    kept: list[ModuleOp] = []

    def observe(name: str, changed: ModuleOp) -> None:
        if name == "choose-formats":
            kept.append(changed.clone())

    map_program(module, case.workers, case.weights, case.kv, observer=observe)
    code, manifest = compile_program(module, Target.host(), trace=case.trace)
    packed = _new_directory() / "packed"
    pack(manifest, model.weights, packed)
    return Built(manifest, code, packed, kept[0], model.weights, case.weights)
