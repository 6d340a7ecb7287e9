"""Which checkpoint tensor each parameter of the module is, checked for existence and shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import gguf
import torch
from transformers import PretrainedConfig, PreTrainedModel

from headrace.checkpoint.binding import Binding
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import MalformedFileError, UnsupportedModelError
from headrace.frontend.metadata import read_metadata

#: Tensors of a GGUF file that are no parameters.
ROPE_FACTORS = "rope_freqs.weight"
LISTED = 5

Shapes = Mapping[str, tuple[int, ...]]


def parameter_shapes(model: torch.nn.Module) -> Shapes:
    """The model's parameters, tied ones once, under their first names."""
    return {name: tuple(each.shape) for name, each in model.named_parameters()}


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
    _check(checkpoint, shapes, bindings)
    _refuse_unused(checkpoint, bindings, {ROPE_FACTORS})
    return bindings


def directory_bindings(model: PreTrainedModel, checkpoint: Checkpoint) -> dict[str, Binding]:
    """The bindings of a model to a Hugging Face directory; errors as `gguf_bindings`.

    Files saved from the model without its head lack the prefix of the base model's names.
    """
    shapes = parameter_shapes(model)
    stored = set(checkpoint.names())
    prefix = f"{model.base_model_prefix}."
    bindings: dict[str, Binding] = {}
    for name in shapes:
        bare = name.removeprefix(prefix)
        bindings[name] = Binding(name if name in stored or bare not in stored else bare)
    _check(checkpoint, shapes, bindings)
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - set(shapes)
    buffers = {name for name, _ in model.named_buffers()}
    _refuse_unused(checkpoint, bindings, tied | buffers)
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
                raise _malformed(checkpoint, ROPE_FACTORS, tuple(factors.shape), buffer.shape)
            values[name] = buffer / factors


def _gguf_names(architecture: str, layers: int, names: Iterable[str]) -> dict[str, str]:
    by_name = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    table = gguf.get_tensor_name_map(by_name[architecture], layers)
    found = {name: table.get_name(name, try_suffixes=(".weight", ".bias")) for name in names}
    missing = [name for name, tensor in found.items() if tensor is None]
    if missing:
        raise UnsupportedModelError(
            f"GGUF has no name for {_listed(missing)} of the architecture '{architecture}'"
        )
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _gguf_binding(
    architecture: str, config: PretrainedConfig, tensor: str, shape: tuple[int, ...]
) -> Binding:
    """Undoes what llama.cpp's converter did to the tensor."""
    part = tensor.split(".")[-2]
    if architecture == "llama" and part == "attn_q":
        return Binding(tensor, unpermute_heads=config.num_attention_heads)
    if architecture == "llama" and part == "attn_k":
        return Binding(tensor, unpermute_heads=config.num_key_value_heads)
    if architecture == "gemma3" and len(shape) == 1:
        return Binding(tensor, add=-1.0)
    return Binding(tensor)


def _check(checkpoint: Checkpoint, shapes: Shapes, bindings: Mapping[str, Binding]) -> None:
    stored = set(checkpoint.names())
    missing = [each.tensor for each in bindings.values() if each.tensor not in stored]
    if missing:
        raise MalformedFileError(
            f"the model needs tensors that the checkpoint lacks: {_listed(missing)}",
            where=str(checkpoint.path),
        )
    for name, binding in bindings.items():
        shape = checkpoint.tensor(binding.tensor).shape
        if shape != shapes[name]:
            raise _malformed(checkpoint, binding.tensor, shape, shapes[name])


def _refuse_unused(
    checkpoint: Checkpoint, bindings: Mapping[str, Binding], known: set[str]
) -> None:
    """A tensor that nothing uses means that the checkpoint is of another model than we made."""
    used = {each.tensor for each in bindings.values()} | known
    unused = [name for name in checkpoint.names() if name not in used]
    unused = [name for name in unused if not name.endswith("rotary_emb.inv_freq")]
    if unused:
        raise UnsupportedModelError(
            f"the checkpoint has tensors that the model does not use: {_listed(unused)}",
            where=str(checkpoint.path),
        )


def _malformed(
    checkpoint: Checkpoint, tensor: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> MalformedFileError:
    return MalformedFileError(
        f"tensor '{tensor}' has the shape {list(shape)}, and the model needs {list(expected)}",
        where=str(checkpoint.path),
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:LISTED]) + more
