"""One cell of the matrix: a family's tiny random model, saved, loaded, and compared.

A family's model is captured once, by `headrace.load` in float32; the other formats compile the
program that was captured then.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

import headrace
from headrace.checkpoint.binding import Binding, bind
from headrace.checkpoint.source import Source, open_checkpoint
from headrace.checkpoint.tensors import Checkpoint
from headrace.codegen.compile import compile_program
from headrace.codegen.target import Target
from headrace.formats.quantise import convert
from headrace.formats.storage import storage_format
from headrace.ir.dialect import parse_program
from headrace.passes.choose_formats import CHOICES
from headrace.passes.pipeline import map_program
from headrace.runtime.pack import pack
from headrace.runtime.program import Program
from tests.families.catalogue import LENGTH, VOCABULARY, WINDOW, Family
from tests.runtime.driving import logits

Logits = NDArray[np.float32]
WORKERS = 2
#: Tokens that are prefilled together; the others are decoded one by one.
PROMPT = WINDOW - 3


@dataclass(frozen=True)
class Loaded:
    """A family's model as transformers saved it in float32, and as a user loads it."""

    family: Family
    directory: Path
    model: headrace.Model

    @property
    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(Source("directory", self.directory, "tiny"))

    @property
    def bindings(self) -> Mapping[str, Binding]:
        return self.model.artifact.about.bindings


@contextmanager
def loaded(family: Family, place: Path) -> Generator[Loaded]:
    directory = place / family.name
    _random_model(family).save_pretrained(directory)
    options: dict[str, Any] = {"weights": "f32", "threads": WORKERS, "context": family.context}
    with headrace.load(directory, **options) as model:
        yield Loaded(family, directory, model)


def native_logits(loaded: Loaded, weights: str) -> Logits:
    """Logits after each token: the first ones prefilled, the others decoded."""
    chunks = [PROMPT] + [1] * (LENGTH - PROMPT)
    if weights == "f32":
        return logits(loaded.model.program, tokens(), chunks)
    with _compiled(loaded, weights) as program:
        return logits(program, tokens(), chunks)


def reference_logits(loaded: Loaded, weights: str) -> Logits:
    """What transformers gives with the values that the matrices have in their format."""
    directory = loaded.directory
    if weights != "f32":
        directory = _with_rounded_matrices(loaded, weights)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    ids = torch.from_numpy(tokens().astype(np.int64))
    with torch.no_grad():
        return model(ids[None]).logits[0].numpy()


def tokens() -> NDArray[np.int32]:
    return np.random.default_rng(1).integers(3, VOCABULARY, LENGTH).astype(np.int32)


def _compiled(loaded: Loaded, weights: str) -> Program:
    module = parse_program(loaded.model.artifact.program_text("captured"))
    map_program(module, WORKERS, weights)
    code, manifest = compile_program(module, Target.host())
    packed = loaded.directory / f"{weights}.weights"
    checkpoint, bindings = loaded.checkpoint, loaded.bindings
    pack(manifest, lambda name: bind(checkpoint, bindings[name]), packed)
    return Program(manifest, code, packed, context=loaded.family.context)


def _with_rounded_matrices(loaded: Loaded, weights: str) -> Path:
    """A copy of the model's directory whose matrices went through a storage format."""
    checkpoint, format = loaded.checkpoint, storage_format(CHOICES[weights] or "f32")
    tensors = load_file(loaded.directory / "model.safetensors")
    for binding in loaded.bindings.values():
        stored = bind(checkpoint, binding)
        if len(stored.shape) == 2:
            rounded = convert(stored.dequantise(), format)
            values = format.dequantise(rounded, stored.shape[1])
            _assign(tensors[binding.tensor], binding, values)
    directory = loaded.directory / weights
    shutil.copytree(loaded.directory, directory, ignore=_not_the_configuration)
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    return directory


def _not_the_configuration(_: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".json")]


def _assign(tensor: Logits, binding: Binding, values: Logits) -> None:
    """Put values in the places of a stored tensor that a binding takes them from."""
    numbers = np.arange(tensor.size, dtype=np.float64).reshape(tensor.shape)
    places = binding.of({binding.tensor: numbers})  # type: ignore[dict-item]
    tensor.reshape(-1)[places.astype(np.int64)] = values


def _random_model(family: Family) -> PreTrainedModel:
    """Every parameter random, norms and biases too."""
    generator = torch.Generator().manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(family.config(), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 0.5 if "norm" in name or "ln_" in name else 0.0
            parameter.normal_(mean, 0.2, generator=generator)
    return model
