"""Attention with masks, biases, caps and sinks: recognised by what is computed, however written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import AutoConfig, Gemma2Config

from headrace.errors import UnsupportedOperatorError
from headrace.frontend.capture import capture_module
from headrace.frontend.lower.scores import Scores, fit_scores
from headrace.ir.attention_ops import AttentionOp
from headrace.ir.interpreter import Interpreter
from tests.frontend.models import (
    assert_close,
    interpreted_logits,
    random_ids,
    random_model,
    reference_logits,
)
from tests.frontend.test_own_modules import CONTEXT, HEAD, HEADS, Decoder, check

WINDOW = 5
SLOPES = [0.5, 0.25, 0.125, 0.0625]


def repeated(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(each.repeat_interleave(HEADS // each.shape[1], dim=1) for each in tensors)


def allowed(q: Tensor) -> Tensor:
    return torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()


def boolean(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed(q), enable_gqa=True)


def added(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mask = torch.full((q.shape[2], q.shape[2]), -torch.inf).triu(1)
    return F.scaled_dot_product_attention(q, *repeated(k, v), attn_mask=mask[None, None])


def windowed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    positions = torch.arange(q.shape[2])
    behind = positions[:, None] - positions
    mask = (behind >= 0) & (behind < WINDOW)
    return F.scaled_dot_product_attention(q, *repeated(k, v), attn_mask=mask)


def softmax_of(scores: Tensor, v: Tensor) -> Tensor:
    return F.dropout(scores.softmax(-1), 0.1, training=False) @ v


def eager(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = repeated(k, v)
    scores = q @ k.transpose(-1, -2) / math.sqrt(HEAD)
    return softmax_of(scores.masked_fill(~allowed(q), torch.finfo(q.dtype).min), v)


def batched(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As BLOOM does: heads and batch in one dimension, biases of positions of keys."""
    tokens = q.shape[2]
    q, k, v = (each.reshape(HEADS, tokens, HEAD) for each in (q, *repeated(k, v)))
    slopes = torch.tensor(SLOPES)[:, None, None]
    biases = slopes * torch.arange(tokens)[None, None]
    scores = biases.baddbmm(q, k.transpose(-1, -2), beta=1.0, alpha=0.25)
    scores = scores.view(1, HEADS, tokens, tokens) + torch.full((tokens, tokens), -1e9).triu(1)
    return torch.bmm(scores.softmax(-1).view(HEADS, tokens, tokens), v)[None]


def biased(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As MPT does: distances to the last position of the context."""
    slopes = torch.tensor(SLOPES)[:, None, None]
    biases = torch.arange(1 - CONTEXT, 1)[None, None] * slopes
    k, v = repeated(k, v)
    scores = q @ k.transpose(-1, -2) * HEAD**-0.5 + biases[:, :, CONTEXT - q.shape[2] :]
    return softmax_of(torch.where(allowed(q), scores, -torch.inf), v)


def capped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = repeated(k, v)
    scores = 0.5 * torch.tanh(q @ k.transpose(-1, -2) / 2)
    return softmax_of(scores.masked_fill(~allowed(q), -torch.inf), v)


@pytest.mark.parametrize(
    ("attend", "expected"),
    [
        (boolean, Scores(HEAD**-0.5)),
        (added, Scores(HEAD**-0.5)),
        (windowed, Scores(HEAD**-0.5, WINDOW)),
        (eager, Scores(HEAD**-0.5)),
        (batched, Scores(0.25, slopes=tuple(SLOPES))),
        (biased, Scores(HEAD**-0.5, slopes=tuple(SLOPES))),
        (capped, Scores(0.25, softcap=0.5)),
    ],
)
def test_ways_to_attend(attend: Callable[..., Tensor], expected: Scores) -> None:
    captured = check(Decoder(attend=attend))
    (found,) = (op for op in captured.module.walk() if isinstance(op, AttentionOp))
    assert found.windows.data == (expected.window,)
    # The scale and the cap are measured in float32: 2^-23, and what tanh adds.
    assert found.scale.only == pytest.approx(expected.scale, rel=1e-6)
    assert found.softcap.only == pytest.approx(expected.softcap, rel=1e-6)
    assert found.slopes.data == pytest.approx(expected.slopes)


def chunked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    chunks = torch.arange(q.shape[2]) // WINDOW
    mask = allowed(q) & (chunks[:, None] == chunks)
    return F.scaled_dot_product_attention(q, *repeated(k, v), attn_mask=mask)


def squared(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = repeated(k, v)
    return softmax_of((q @ k.transpose(-1, -2)).square().masked_fill(~allowed(q), -torch.inf), v)


def growing(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    positions = torch.arange(q.shape[2])
    biases = -((positions[:, None] - positions) ** 2) / 8
    mask = biases.masked_fill(~allowed(q), -torch.inf)
    return F.scaled_dot_product_attention(q, *repeated(k, v), attn_mask=mask)


def late(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal, but blind for position 40: more tokens than are looked at first."""
    mask = allowed(q) & (torch.arange(q.shape[2]) != 40) | torch.eye(q.shape[2]).bool()
    return F.scaled_dot_product_attention(q, *repeated(k, v), attn_mask=mask)


def of_data(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mask = allowed(q) & (q.sum((1, 3))[0] > 0)
    return F.scaled_dot_product_attention(q, *repeated(k, v), attn_mask=mask)


def of_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ repeated(k)[0].transpose(2, 3)) @ repeated(v)[0]


@pytest.mark.parametrize(
    ("attend", "reason"),
    [
        (chunked, "neither causal nor a sliding window"),
        (squared, "not linear in query times key"),
        (growing, "not linear in the distance"),
        (late, "neither causal nor a sliding window"),
        (of_data, "depends on more than positions"),
        (of_products, "no attention"),
    ],
)
def test_what_attention_cannot_be(attend: Callable[..., Tensor], reason: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=reason) as caught:
        capture_module(Decoder(attend=attend).eval(), CONTEXT)
    assert caught.value.where == "attention"


def test_a_mask_too_large_to_look_at() -> None:
    def far(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        positions = torch.arange(q.shape[2])
        mask = allowed(q) & (positions[:, None] - positions < 5000)
        return F.scaled_dot_product_attention(q, *repeated(k, v), attn_mask=mask)

    with pytest.raises(UnsupportedOperatorError, match="beyond position 2048"):
        capture_module(Decoder(attend=far).eval(), 8192)
    capture_module(Decoder(attend=boolean).eval(), 8192)


reals = st.floats(0.01, 4.0)


@given(
    reals,
    st.integers(0, 12),
    st.one_of(st.just(0.0), st.floats(1.0, 50.0)),
    st.lists(st.floats(-1.0, 1.0, width=32), min_size=2, max_size=2),
)
def test_parameters_are_found_again(
    scale: float, window: int, softcap: float, slopes: list[float]
) -> None:
    behind = torch.arange(16)[:, None] - torch.arange(16)
    seen = (behind >= 0) & (behind < window if window else True)

    def score(products: Tensor) -> Tensor:
        scores = scale * products
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        scores = scores - torch.tensor(slopes)[:, None, None] * behind
        return scores.masked_fill(~seen, -torch.inf)

    found = fit_scores(score, (2, 16, 16))
    assert found.window == window
    assert found.scale == pytest.approx(scale, rel=1e-4)
    assert found.softcap == pytest.approx(softcap, rel=1e-6)
    if window != 1:
        expected = slopes if any(slopes) else []
        assert found.slopes == pytest.approx(expected, rel=1e-3, abs=1e-30)


def test_sinks_caps_and_windows_of_transformers() -> None:
    """Attention sinks, a window in one of two layers; and a soft cap."""
    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": CONTEXT,
        "sliding_window": WINDOW,
    }
    swa = random_model(AutoConfig.for_model("granite_swa", **sizes))
    capped = random_model(Gemma2Config(**sizes, attn_logit_softcapping=2.0))
    ids = random_ids(3 * WINDOW, 64)
    for model, softcap in ((swa, 0.0), (capped, 2.0)):
        captured = capture_module(model)
        layers = [op for op in captured.module.walk() if isinstance(op, AttentionOp)]
        assert {op.softcap.only for op in layers} == {softcap}
        assert sorted({op.windows.data[0] for op in layers}) == [0, WINDOW]
        assert all((op.sinks is not None) == (model is swa) for op in layers)
        interpreter = Interpreter(captured.module, lambda name, of=captured: of.weights[name])
        assert_close(interpreted_logits(interpreter, ids, 4), reference_logits(model, ids))
