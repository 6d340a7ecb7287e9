"""Which checkpoint tensor each parameter of the module is, checked for existence and shape."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from headrace.checkpoint.binding import Binding
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import MalformedFileError, UnsupportedModelError

#: How many names an error lists.
LISTED = 5

Shapes = Mapping[str, tuple[int, ...]]


def parameter_shapes(model: torch.nn.Module) -> Shapes:
    """The model's parameters, tied ones once, under their first names."""
    return {name: tuple(each.shape) for name, each in model.named_parameters()}


def directory_bindings(model: PreTrainedModel, checkpoint: Checkpoint) -> dict[str, Binding]:
    """The bindings of a model to a Hugging Face directory; no tensor is read.

    Files saved from the model without its head lack the prefix of the base model's names.

    Raises:
        UnsupportedModelError: the directory has tensors that the model does not.
        MalformedFileError: a tensor is missing or of another shape.
    """
    shapes = parameter_shapes(model)
    stored = stored_names(model, checkpoint)
    bindings = {name: Binding(stored.get(name, name)) for name in shapes}
    check_shapes(checkpoint, shapes, bindings)
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - set(shapes)
    buffers = {name for name, _ in model.named_buffers()}
    refuse_unused(checkpoint, bindings, {stored.get(name, name) for name in tied | buffers})
    return bindings


def stored_names(model: PreTrainedModel, checkpoint: Checkpoint) -> dict[str, str]:
    """Names in the model → names in the checkpoint, as transformers renames them when it loads.

    Models' parts were called otherwise in earlier versions, and files saved from the model without
    its head lack the prefix of the base model's names.
    """
    conversions = get_model_conversion_mapping(model)
    renamings = [each for each in conversions if isinstance(each, WeightRenaming)]
    state = model.state_dict()
    prefix = model.base_model_prefix
    return {
        rename_source_key(name, renamings, [], prefix, state)[0]: name
        for name in checkpoint.names()
    }


def check_shapes(checkpoint: Checkpoint, shapes: Shapes, bindings: Mapping[str, Binding]) -> None:
    """Raise MalformedFileError unless every bound tensor is there, and shaped as its parameter."""
    stored = set(checkpoint.names())
    missing = [each.tensor for each in bindings.values() if each.tensor not in stored]
    if missing:
        raise MalformedFileError(
            f"the model needs tensors that the checkpoint lacks: {listed(missing)}",
            where=str(checkpoint.path),
        )
    stored_shapes = {
        each.tensor: checkpoint.tensor(each.tensor).shape for each in bindings.values()
    }
    # Several parameters may be rows of one tensor; one of them ends with its last row.
    whole = {b.tensor for b in bindings.values() if b.uses_all(stored_shapes[b.tensor])}
    for name, binding in bindings.items():
        shape = stored_shapes[binding.tensor]
        if binding.shape(shape) != shapes[name] or binding.tensor not in whole:
            raise wrong_shape(checkpoint, binding.tensor, shape, shapes[name])


def refuse_unused(checkpoint: Checkpoint, bindings: Mapping[str, Binding], known: set[str]) -> None:
    """A tensor that nothing uses means that the checkpoint is of another model than we made."""
    used = {each.tensor for each in bindings.values()} | known
    unused = [name for name in checkpoint.names() if name not in used]
    unused = [name for name in unused if not name.endswith("rotary_emb.inv_freq")]
    unused = [name for name in unused if not _is_empty_bias(checkpoint, name)]
    if unused:
        raise UnsupportedModelError(
            f"the checkpoint has tensors that the model does not use: {listed(unused)}",
            where=str(checkpoint.path),
        )


def _is_empty_bias(checkpoint: Checkpoint, name: str) -> bool:
    """Whether it is a bias of zeros beside a matrix: AutoGPTQ writes one for each."""
    weight = f"{name.removesuffix('.bias')}.weight"
    if not name.endswith(".bias") or weight not in checkpoint.names():
        return False
    return not checkpoint.tensor(name).dequantise().any()


def wrong_shape(
    checkpoint: Checkpoint, tensor: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> MalformedFileError:
    return MalformedFileError(
        f"tensor '{tensor}' has the shape {list(shape)}, and the model needs {list(expected)}",
        where=str(checkpoint.path),
    )


def listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:LISTED]) + more
