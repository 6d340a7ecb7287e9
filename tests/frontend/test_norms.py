"""Norms in the ways that people write them, each one operator with PyTorch's logits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from headrace.errors import UnsupportedOperatorError
from headrace.frontend.capture import capture_module
from headrace.ir.norm_op import NormOp
from headrace.ir.shapes import weight_shape
from tests.frontend.test_own_modules import (
    CONTEXT,
    HEAD,
    HEADS,
    KV_HEADS,
    WIDTH,
    Attention,
    Decoder,
    by_halves,
    check,
    grouped,
)

EPSILON = 1e-5
Parts = tuple[Tensor, Tensor, Tensor]


def of_mean(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + EPSILON) * weight + bias


def of_twice_the_same(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.double().mean(-1, keepdim=True)
    variance = (x.double() - mean).square().mean(-1, keepdim=True)
    return bias + weight * ((x.double() - mean) / torch.sqrt(EPSILON + variance)).float()


def of_variance(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    variance = x.var(-1, keepdim=True, unbiased=False)
    return (x - x.mean(-1, keepdim=True)) * (variance + EPSILON) ** -0.5 * weight + bias


def around_one(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, (WIDTH,), 1 + weight, bias, EPSILON)


def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, (WIDTH,), None, None, EPSILON)


def rms_alone(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON)


def rms_of_pytorch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.rms_norm(x, (WIDTH,), None, EPSILON)


class Norm(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)
        self.bias = nn.Parameter(torch.rand(WIDTH) - 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight, self.bias)


def norms_of(module: nn.Module) -> list[NormOp]:
    return [op for op in check(module).module.walk() if isinstance(op, NormOp)]


@pytest.mark.parametrize(
    ("function", "kind", "weighted"),
    [
        (of_mean, "layer", True),
        (of_twice_the_same, "layer", True),
        (of_variance, "layer", True),
        (around_one, "layer", True),
        (plain, "layer", False),
        (rms_alone, "rms", False),
        (rms_of_pytorch, "rms", False),
    ],
)
def test_ways_to_write_a_norm(function: Callable[..., Tensor], kind: str, weighted: bool) -> None:
    module = Decoder()
    module.norm = Norm(function)  # type: ignore[assignment]
    norms = norms_of(module)
    assert [norm.kind.data for norm in norms] == [kind] * 3
    assert {norm.weight is not None for norm in norms} == {weighted}
    assert {norm.bias is not None for norm in norms} == {weighted}
    assert {norm.offset.only for norm in norms} == {1.0 if function is around_one else 0.0}


class NormedHeads(Attention):
    """Queries and keys normed by heads, with a weight for each feature of each head."""

    def __init__(self) -> None:
        super().__init__(by_halves, grouped)
        self.of_q = nn.Parameter(torch.rand(HEADS, HEAD))
        self.of_k = nn.Parameter(torch.rand(KV_HEADS, HEAD))

    def normed(self, x: Tensor, weight: Tensor) -> Tensor:
        x = x.view(*x.shape[:2], -1, HEAD)
        x = weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON))
        return x.transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k = self.normed(self.q(x), self.of_q), self.normed(self.k(x), self.of_k)
        v = self.v(x).view(*x.shape[:2], -1, HEAD).transpose(1, 2)
        attended = self.attend(self.rotate(q, cos, sin), self.rotate(k, cos, sin), v)
        return self.out(attended.transpose(1, 2).flatten(2))


def test_weights_of_heads_are_vectors() -> None:
    module = Decoder()
    module.attention = NormedHeads()
    shapes = [weight_shape(norm.weight) for norm in norms_of(module) if norm.weight is not None]
    assert (HEADS * HEAD,) in shapes
    assert (KV_HEADS * HEAD,) in shapes


def test_a_weight_of_another_shape_is_refused() -> None:
    module = Decoder()
    norm = Norm(lambda x, weight, _: rms_alone(x, weight, weight) * weight[:1])
    module.norm = norm  # type: ignore[assignment]
    with pytest.raises(UnsupportedOperatorError, match="norm"):
        capture_module(module.eval(), CONTEXT)
