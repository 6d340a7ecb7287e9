"""Attention and masks as opaque operators that transformers' models call.

transformers asks a registry for the attention function and another for the mask function by the
name of the attention implementation. Ours is `IMPLEMENTATION`: a mask arrives in the exported graph
as one node that says what it allows, and attention as another.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from headrace.frontend.mask_functions import MaskFunction, read_pattern

IMPLEMENTATION = "headrace"

#: Arguments of an attention call that do not change what causal attention computes.
_HARMLESS = {
    "position_ids",
    "cache_position",
    "use_cache",
    "output_attentions",
    "output_router_logits",
    "is_causal",
}

#: Attention of `[B, heads, T, head]` over `[B, kv heads, T, head]` → `[B, T, heads, head]`. Without
#: a mask it is causal, with the window if that is not 0; a mask says all itself. `softcap` 0 is
#: none; `sinks` `[heads]` are logits without a value. `extras` lists what the call asked for
#: beyond that: lowering refuses it and names the module, which a hook cannot.
torch.library.define(
    "headrace::attention",
    "(Tensor query, Tensor key, Tensor value, float scale, int window, float softcap,"
    " Tensor? sinks, Tensor? mask, str[] extras) -> Tensor",
)
ATTENTION = torch.ops.headrace.attention.default

#: Which of `keys` entries each of `queries` tokens may attend to: those up to its own position, the
#: last `window` of them unless that is 0, where `padding` `[B, keys]` is not zero. `others` lists
#: what else the model asked for.
torch.library.define(
    "headrace::mask",
    "(SymInt queries, SymInt keys, int window, Tensor? padding, str[] others, Device device)"
    " -> Tensor",
)
MASK = torch.ops.headrace.mask.default


def _attention_shape(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *others: object
) -> torch.Tensor:
    batch, heads, tokens, _ = query.shape
    return query.new_empty(batch, tokens, heads, value.shape[-1])


def _mask_shape(
    queries: int, keys: int, window: int, padding: object, others: object, device: torch.device
) -> torch.Tensor:
    return torch.empty(1, 1, queries, keys, dtype=torch.bool, device=device)


def _mask_values(
    queries: int,
    keys: int,
    window: int,
    padding: torch.Tensor | None,
    others: list[str],
    device: torch.device,
) -> torch.Tensor:
    """The mask itself `[1, 1, queries, keys]`, for models that compute with it."""
    behind = torch.arange(queries, device=device)[:, None] - torch.arange(keys, device=device)
    allowed = (behind >= 0) & (behind < window if window else True)
    return allowed[None, None] if padding is None else allowed & padding[:, None, None].bool()


torch.library.register_fake("headrace::attention", _attention_shape)
torch.library.register_fake("headrace::mask", _mask_shape)
torch.library.impl("headrace::mask", "CompositeExplicitAutograd")(_mask_values)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    extras = [name for name, given in others.items() if given is not None and name not in _HARMLESS]
    if dropout:
        extras.append("dropout")
    is_causal = others.get("is_causal", getattr(module, "is_causal", True))
    if attention_mask is None and not is_causal:
        extras.append("attention that is not causal")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = 0 if sliding_window is None else sliding_window
    attended = ATTENTION(
        query, key, value, scale, window, softcap or 0.0, s_aux, attention_mask, extras
    )
    return attended, None


def _mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    mask_function: MaskFunction,
    attention_mask: torch.Tensor | None = None,
    device: torch.device | str = "cpu",
    **_: object,
) -> torch.Tensor:
    """What a model asks of `headrace::mask`; others are the parameters of transformers' own."""
    pattern = read_pattern(mask_function)
    others = list(pattern.others)
    if not pattern.is_causal:
        others.append("attention that is not causal")
    return MASK(q_length, kv_length, pattern.window, attention_mask, others, torch.device(device))


def register() -> None:
    """Make `IMPLEMENTATION` known to transformers."""
    ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _mask)


def asks_registry(model: PreTrainedModel) -> bool:
    """Whether the code of a model takes its attention from transformers' registry."""
    return hasattr(sys.modules[type(model).__module__], "ALL_ATTENTION_FUNCTIONS")


@contextmanager
def captured_attention(module: torch.nn.Module) -> Generator[dict[str, object]]:
    """Let a transformers model call `headrace::attention` meanwhile; other modules are left alone.

    So are models that attend by themselves. Gives the keywords with which to call the module.
    """
    if not isinstance(module, PreTrainedModel):
        yield {}
        return
    if not asks_registry(module):
        yield {"use_cache": False}
        return
    register()
    before = module.config._attn_implementation or "eager"  # pyright: ignore[reportPrivateUsage]
    module.set_attn_implementation(IMPLEMENTATION)
    try:
        yield {"use_cache": False}
    finally:
        module.set_attn_implementation(before)
