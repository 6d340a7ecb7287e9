"""Ways to write a rotation: it is recognised by what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headrace.errors import UnsupportedOperatorError
from headrace.frontend.capture import capture_module
from headrace.ir.attention_ops import RopeOp
from headrace.ir.program_ops import FrequenciesOp
from tests.frontend.test_own_modules import CONTEXT, HEAD, VOCABULARY, Decoder, check

Rotate = Callable[[Tensor, Tensor, Tensor], Tensor]


def stacked(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


def repeated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    cos, sin = cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)
    turned = torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)
    return x * cos + turned * sin


def by_complex_numbers(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    numbers = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    turned = numbers * torch.complex(cos, sin)
    return torch.view_as_real(turned).flatten(-2).type_as(x)


def by_blocks(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.unflatten(-1, (2, -1)).unbind(-2)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def partial(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    rotated, passed = x[..., :4], x[..., 4:]
    first, second = rotated.chunk(2, -1)
    cos, sin = cos[:, :2], sin[:, :2]
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
    return torch.cat([turned, passed], -1)


def partial_in_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    rotated, passed = x.split([6, HEAD - 6], -1)
    return torch.cat([stacked(rotated, cos[:, :3], sin[:, :3]), passed], -1)


def louder(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return 1.5 * stacked(x, cos, sin) + stacked(x, cos, sin) / 2


def slow_ones_stand_still(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    still = torch.arange(HEAD // 2) >= HEAD // 4
    cos, sin = cos.masked_fill(still, 1.0), sin.masked_fill(still, 0.0)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


WAYS: dict[Rotate, tuple[str, int, float]] = {
    stacked: ("pairs", HEAD // 2, 1.0),
    repeated: ("pairs", HEAD // 2, 1.0),
    by_complex_numbers: ("pairs", HEAD // 2, 1.0),
    by_blocks: ("halves", HEAD // 2, 1.0),
    partial: ("halves", 2, 1.0),
    partial_in_pairs: ("pairs", 3, 1.0),
    louder: ("pairs", HEAD // 2, 2.0),
    slow_ones_stand_still: ("halves", HEAD // 2, 1.0),
}


@pytest.mark.parametrize("rotate", WAYS, ids=lambda each: each.__name__)
def test_ways_to_rotate(rotate: Rotate) -> None:
    style, pairs, scale = WAYS[rotate]
    ops = list(check(Decoder(rotate)).module.walk())
    assert [op.style.data for op in ops if isinstance(op, RopeOp)] == [style] * 2
    (table,) = (op for op in ops if isinstance(op, FrequenciesOp))
    assert len(table.values.data) == pairs
    assert table.scale.only == scale


def test_one_head_without_a_dimension_of_heads() -> None:
    class OneHead(Decoder):
        def step(self, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
            x = self.embed(ids)
            return self.head(x + stacked(self.up(x)[..., :HEAD], cos, sin))

    module = OneHead()
    module.embed = nn.Embedding(VOCABULARY, HEAD)
    module.up = nn.Linear(HEAD, 2 * HEAD)
    module.head = nn.Linear(HEAD, VOCABULARY)
    check(module)


def reflected(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos + second * sin, first * sin - second * cos], -1)


def of_opposite_features(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x[..., : HEAD // 2], x[..., list(range(HEAD - 1, HEAD // 2 - 1, -1))]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def of_one_head(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    which = torch.arange(x.shape[1])[:, None, None] == 0
    return stacked(x, torch.where(which, cos, 1.0), torch.where(which, sin, 0.0))


def faster_and_faster(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return stacked(x, cos * cos, sin)


@pytest.mark.parametrize(
    "rotate",
    [reflected, of_opposite_features, of_one_head, faster_and_faster],
    ids=lambda f: f.__name__,
)
def test_what_is_no_rotation(rotate: Any) -> None:
    with pytest.raises(UnsupportedOperatorError, match="no rotation by position") as caught:
        capture_module(Decoder(rotate).eval(), CONTEXT)
    assert caught.value.where == "attention"
