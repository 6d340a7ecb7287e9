"""Modules on the CPU whose parameters take no memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def leave_meta_device(module: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> set[str]:
    """Move what lies on the meta device to the CPU: all entries of a parameter are one number.

    On the meta device export would lose the values of constants that the forward pass makes.
    Parameters and buffers get their `values`, by their names in the module; the names of buffers
    that have none are returned.
    """
    moved: dict[torch.Tensor, torch.Tensor] = {}
    unknown: set[str] = set()
    for path, part in module.named_modules():
        prefix = f"{path}." if path else ""
        parameters: dict[str, Any] = part._parameters  # pyright: ignore[reportPrivateUsage]
        for name, parameter in _on_meta(parameters).items():
            value = values.get(prefix + name, _hollow(parameter))
            parameters[name] = moved.setdefault(
                parameter, torch.nn.Parameter(value, requires_grad=False)
            )
        buffers: dict[str, Any] = part._buffers  # pyright: ignore[reportPrivateUsage]
        for name, buffer in _on_meta(buffers).items():
            buffers[name] = values.get(prefix + name, moved.setdefault(buffer, _hollow(buffer)))
            if prefix + name not in values:
                unknown.add(prefix + name)
    return unknown


def _on_meta(tensors: Mapping[str, torch.Tensor | None]) -> dict[str, torch.Tensor]:
    return {name: each for name, each in tensors.items() if each is not None and each.is_meta}


def _hollow(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
