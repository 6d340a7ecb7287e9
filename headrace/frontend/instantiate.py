"""A model's structure without its weights: parameters on the meta device, buffers with values."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from headrace.errors import UnsupportedModelError
from headrace.frontend import hooks


def instantiate(config: PretrainedConfig) -> PreTrainedModel:
    """The causal language model of a configuration, float32, on the meta device.

    Raises:
        UnsupportedModelError: transformers has no such model or refuses the configuration.
    """
    try:
        made = (_make(config, implementation) for implementation in (hooks.IMPLEMENTATION, None))
        model = next(model for model in made if model is not None)
    except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise UnsupportedModelError(
            f"transformers cannot make a causal language model of type {config.model_type!r}: "
            f"{error}"
        ) from error
    return model.eval()


def _make(config: PretrainedConfig, implementation: str | None) -> PreTrainedModel | None:
    """The model with an attention implementation, None for transformers' own choice.

    Nothing if the model is to call `hooks.ATTENTION` but attends by itself.
    """
    hooks.register()
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                copy.deepcopy(config), attn_implementation=implementation, dtype=torch.float32
            )
    except KeyError as error:
        if implementation is not None and error.args == (implementation,):
            return None
        raise
    return model if implementation is None or hooks.asks_registry(model) else None


def buffer_values(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The values of a meta model's non-persistent buffers, which no checkpoint holds.

    transformers recomputes them in `_init_weights` of the model that owns the module; we call it
    on a copy of the module whose buffers lie on the CPU.

    Raises:
        UnsupportedModelError: a buffer was left without a value.
    """
    values: dict[str, torch.Tensor] = {}
    for path, module, owner in _owned(model, "", model):
        names = _transient(module)
        if names:
            made = _initialised(owner, module, names)
            values |= {path + name: buffer for name, buffer in made.items()}
    return values


def _transient(module: torch.nn.Module) -> list[str]:
    """The names of a module's own non-persistent buffers."""
    own = [name for name, _ in module.named_buffers(recurse=False)]
    return [name for name in own if name not in module.state_dict()] if own else []


def _owned(
    module: torch.nn.Module, path: str, owner: PreTrainedModel
) -> Iterator[tuple[str, torch.nn.Module, PreTrainedModel]]:
    """Every module with its path and the innermost PreTrainedModel around it."""
    if isinstance(module, PreTrainedModel):
        owner = module
    yield path, module, owner
    for name, child in module.named_children():
        yield from _owned(child, f"{path}{name}.", owner)


def _initialised(
    owner: PreTrainedModel, module: torch.nn.Module, names: list[str]
) -> dict[str, torch.Tensor]:
    """Buffers as transformers computes them, whatever they hold before: from zeros, from ones."""
    made, again = (_initialised_from(owner, module, names, fill) for fill in (0, 1))
    for name, buffer in made.items():
        if not torch.equal(buffer, again[name]):
            raise UnsupportedModelError(
                f"buffer {name!r} is in no checkpoint and transformers does not compute it",
                where=type(module).__name__,
            )
    return made


def _initialised_from(
    owner: PreTrainedModel, module: torch.nn.Module, names: list[str], fill: int
) -> dict[str, torch.Tensor]:
    twin = copy.deepcopy(module)
    for name in names:
        setattr(twin, name, torch.full_like(getattr(module, name), fill, device="cpu"))
    with torch.no_grad():
        owner._init_weights(twin)  # pyright: ignore[reportPrivateUsage]
    return {name: getattr(twin, name) for name in names}
