"""Numbers of a model that become part of its program: parameters and buffers of one entry."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import PreTrainedModel

from headrace.checkpoint.binding import Binding, bind
from headrace.checkpoint.tensors import Checkpoint
from headrace.frontend.bindings import stored_names


def known_values(
    model: PreTrainedModel, checkpoint: Checkpoint, bindings: Mapping[str, Binding]
) -> dict[str, torch.Tensor]:
    """The values of a model's learned numbers, read from its checkpoint.

    bindings: of the parameters; buffers are found by their names.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    names = [name for name, tensor in tensors.items() if tensor.numel() == 1]
    if not names:
        return {}
    buffers = {name: Binding(each) for name, each in stored_names(model, checkpoint).items()}
    stored = {**buffers, **bindings}
    return {
        name: torch.from_numpy(bind(checkpoint, stored[name]).dequantise().copy()).reshape(
            tensors[name].shape
        )
        for name in names
        if name in stored
    }


def numbers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The values of a module's parameters of one entry."""
    own = module.named_parameters()
    return {name: each.detach() for name, each in own if each.numel() == 1}
