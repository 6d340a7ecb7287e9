"""From a model to its captured program: the package's public functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PretrainedConfig, PreTrainedModel
from xdsl.dialects.builtin import ModuleOp

from headrace.checkpoint.binding import Binding
from headrace.checkpoint.source import Source
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import HeadraceError, UnsupportedModelError
from headrace.frontend.bindings import directory_bindings
from headrace.frontend.directory_config import (
    configured_context,
    directory_config,
    directory_stop_tokens,
)
from headrace.frontend.emitter import WeightTypes
from headrace.frontend.export import export_step
from headrace.frontend.gguf_bindings import gguf_bindings
from headrace.frontend.gguf_config import gguf_config, gguf_stop_tokens
from headrace.frontend.gguf_rotary import scale_rotary
from headrace.frontend.hooks import captured_attention
from headrace.frontend.instantiate import buffer_values, instantiate
from headrace.frontend.known_values import known_values, numbers
from headrace.frontend.lower_step import Lowered, lower_step
from headrace.ir.types import WeightType


@dataclass(frozen=True, slots=True)
class Captured:
    """A checkpoint's model as a program.

    Attributes:
        bindings: the program's weights → the checkpoint's.
        architecture: transformers' name of the model's type.
        vocabulary: the number of logits.
        context: the largest number of positions.
        stop_tokens: the ids that end a text, as the checkpoint names them.
    """

    module: ModuleOp
    bindings: Mapping[str, Binding]
    architecture: str
    vocabulary: int
    context: int
    stop_tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CapturedModule:
    """A module in memory as a program.

    Attributes:
        weights: the program's weights, views of the module's parameters where they can be.
    """

    module: ModuleOp
    weights: Mapping[str, NDArray[np.float32]]
    context: int


def capture_checkpoint(source: Source, checkpoint: Checkpoint) -> Captured:
    """The program of a GGUF file or a Hugging Face directory; no weight is read.

    Raises:
        UnsupportedModelError: the architecture or its configuration is not supported, or
            (UnsupportedOperatorError) the model has operators that cannot be lowered.
        MalformedFileError: the checkpoint contradicts its own configuration.
    """
    is_gguf = source.kind == "gguf"
    config = gguf_config(checkpoint) if is_gguf else directory_config(source.path)
    model = instantiate(config)
    values = buffer_values(model)
    context = configured_context(config)
    try:
        bindings = (
            gguf_bindings(model, config, checkpoint)
            if is_gguf
            else directory_bindings(model, checkpoint)
        )
    except HeadraceError:
        # A model that cannot be lowered is told of what it does, not of how its tensors are called.
        _lower(model, context, values, _as_float32)
        raise
    if is_gguf:
        scale_rotary(checkpoint, values)
        stop_tokens = gguf_stop_tokens(checkpoint)
    else:
        stop_tokens = directory_stop_tokens(source.path, config)
    values |= known_values(model, checkpoint, bindings)

    def weight_type(view: Binding, shape: tuple[int, ...]) -> WeightType:
        binding = view.within(bindings)
        stored = checkpoint.tensor(binding.tensor).format.name
        return WeightType.of(shape, "f32" if binding.add else stored)

    lowered = _lower(model, context, values, weight_type)
    return Captured(
        lowered.module,
        {name: view.within(bindings) for name, view in lowered.weights.items()},
        config.model_type,
        config.vocab_size,
        context,
        stop_tokens,
    )


def _lower(
    model: PreTrainedModel,
    context: int,
    values: Mapping[str, torch.Tensor],
    weight_types: WeightTypes,
) -> Lowered:
    return lower_step(export_step(model, context, values, {"use_cache": False}), weight_types)


def _as_float32(_: object, shape: tuple[int, ...]) -> WeightType:
    return WeightType.of(shape, "f32")


def capture_module(module: torch.nn.Module, context: int | None = None) -> CapturedModule:
    """The program of a decoder in memory: `forward(input_ids[, position_ids])` → logits.

    Args:
        module: in float32; `forward` takes `[1, T]` ids and returns `[1, T, vocabulary]` logits,
            a tuple that begins with them, or a transformers output.
        context: the largest number of positions; taken from a transformers configuration.

    Raises:
        UnsupportedModelError: the module cannot be exported, or (UnsupportedOperatorError) has
            operators that cannot be lowered.
    """
    _require_float32(module)
    positions = _configured_context(module) if context is None else context
    with captured_attention(module) as keywords:
        exported = export_step(module, positions, numbers(module), keywords)
    lowered = lower_step(exported, _as_float32)
    parameters = {
        name: parameter.detach().cpu().numpy() for name, parameter in module.named_parameters()
    }
    weights = {name: view.of(parameters) for name, view in lowered.weights.items()}
    return CapturedModule(lowered.module, weights, positions)


def _configured_context(module: torch.nn.Module) -> int:
    config = getattr(module, "config", None)
    if not isinstance(config, PretrainedConfig):
        raise UnsupportedModelError(
            "the largest number of positions is not known",
            where=type(module).__name__,
            hint="pass context=...",
        )
    return configured_context(config)


def _require_float32(module: torch.nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise UnsupportedModelError(
                f"parameter '{name}' is {parameter.dtype}",
                where=type(module).__name__,
                hint="convert the module with module.float() first",
            )
