"""Attention as one opaque operator, `headrace::attention`, that transformers' models call.

transformers asks a registry for the attention function and another for the mask function by the
name of the attention implementation. Ours is `IMPLEMENTATION`: no mask is built, and attention
arrives in the exported graph as a single node.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

IMPLEMENTATION = "headrace"

#: Arguments of an attention call that do not change what causal attention computes.
_HARMLESS = {"position_ids", "cache_position", "use_cache", "output_attentions", "is_causal"}


#: Causal attention of `[B, heads, T, head]` over `[B, kv heads, T, head]` → `[B, T, heads, head]`.
#: `window` 0 is no window. `extras` lists what the call asked for beyond that: lowering refuses it
#: and names the module, which a hook cannot.
torch.library.define(
    "headrace::attention",
    "(Tensor query, Tensor key, Tensor value, float scale, int window, str[] extras) -> Tensor",
)
ATTENTION = torch.ops.headrace.attention.default


def _shape(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    window: int,
    extras: list[str],
) -> torch.Tensor:
    batch, heads, tokens, _ = query.shape
    return query.new_empty(batch, tokens, heads, value.shape[-1])


torch.library.register_fake("headrace::attention", _shape)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    extras = [name for name, given in others.items() if given is not None and name not in _HARMLESS]
    if attention_mask is not None:
        extras.append("attention_mask")
    if dropout:
        extras.append("dropout")
    if not others.get("is_causal", getattr(module, "is_causal", True)):
        extras.append("attention that is not causal")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return ATTENTION(query, key, value, scale, sliding_window or 0, extras), None


def register() -> None:
    """Make `IMPLEMENTATION` known to transformers."""
    ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _no_mask)


def _no_mask(*_: object, **__: object) -> None:
    """`ATTENTION` is causal by itself, and knows its window."""


@contextmanager
def captured_attention(module: torch.nn.Module) -> Generator[dict[str, object]]:
    """Let a transformers model call `headrace::attention` meanwhile; other modules are left alone.

    Gives the keywords with which to call the module.
    """
    if not isinstance(module, PreTrainedModel):
        yield {}
        return
    register()
    before = module.config._attn_implementation or "eager"  # pyright: ignore[reportPrivateUsage]
    module.set_attn_implementation(IMPLEMENTATION)
    try:
        yield {"use_cache": False}
    finally:
        module.set_attn_implementation(before)
