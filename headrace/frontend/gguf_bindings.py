"""Which tensor of a GGUF file each parameter of the module is, and what the converter did to it."""

from __future__ import annotations

from collections.abc import Iterable

import gguf
import torch
from transformers import PretrainedConfig, PreTrainedModel

from headrace.checkpoint.binding import Binding, unpermuted
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import UnsupportedModelError
from headrace.frontend.bindings import (
    check_shapes,
    listed,
    parameter_shapes,
    refuse_unused,
    wrong_shape,
)
from headrace.frontend.metadata import read_metadata

#: Tensors of a GGUF file that are no parameters.
ROPE_FACTORS = "rope_freqs.weight"


def gguf_bindings(
    model: PreTrainedModel, config: PretrainedConfig, checkpoint: Checkpoint
) -> dict[str, Binding]:
    """The bindings of a model to a GGUF file.

    Raises:
        UnsupportedModelError: a parameter has no name in GGUF, or the file has tensors that the
            model does not.
        MalformedFileError: a tensor is missing or of another shape.
    """
    architecture = read_metadata(checkpoint).architecture
    shapes = parameter_shapes(model)
    names = _gguf_names(architecture, config.num_hidden_layers, shapes)
    bindings = {
        name: _gguf_binding(architecture, config, tensor, shapes[name])
        for name, tensor in names.items()
    }
    check_shapes(checkpoint, shapes, bindings)
    refuse_unused(checkpoint, bindings, {ROPE_FACTORS})
    return bindings


def scale_rotary(checkpoint: Checkpoint, values: dict[str, torch.Tensor]) -> None:
    """Divide the rotary frequencies by the factors of a GGUF file that has some (Llama 3).

    Raises:
        MalformedFileError: there are not as many factors as frequencies.
    """
    if ROPE_FACTORS not in checkpoint.names():
        return
    factors = torch.from_numpy(checkpoint.tensor(ROPE_FACTORS).dequantise().copy())
    for name, buffer in values.items():
        if name.endswith("inv_freq"):
            if buffer.shape != factors.shape:
                raise wrong_shape(checkpoint, ROPE_FACTORS, tuple(factors.shape), buffer.shape)
            values[name] = buffer / factors


def _gguf_names(architecture: str, layers: int, names: Iterable[str]) -> dict[str, str]:
    by_name = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    table = gguf.get_tensor_name_map(by_name[architecture], layers)
    found = {name: table.get_name(name, try_suffixes=(".weight", ".bias")) for name in names}
    missing = [name for name, tensor in found.items() if tensor is None]
    if missing:
        raise UnsupportedModelError(
            f"GGUF has no name for {listed(missing)} of the architecture '{architecture}'"
        )
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _gguf_binding(
    architecture: str, config: PretrainedConfig, tensor: str, shape: tuple[int, ...]
) -> Binding:
    """Undoes what llama.cpp's converter did to the tensor."""
    part = tensor.split(".")[-2]
    if architecture == "llama" and part == "attn_q":
        return Binding(tensor, (unpermuted(shape[0], config.num_attention_heads),))
    if architecture == "llama" and part == "attn_k":
        return Binding(tensor, (unpermuted(shape[0], config.num_key_value_heads),))
    if architecture == "gemma3" and len(shape) == 1:
        return Binding(tensor, add=-1.0)
    return Binding(tensor)
