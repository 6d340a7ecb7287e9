"""Decoders that users wrote themselves, in the ways they write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from headrace.errors import UnsupportedModelError
from headrace.frontend.capture import CapturedModule, capture_module
from headrace.ir.attention_ops import AttentionOp, RopeOp
from headrace.ir.dialect import print_program
from headrace.ir.interpreter import Interpreter
from headrace.ir.program_ops import FrequenciesOp
from tests.frontend.models import (
    assert_close,
    interpreted_logits,
    random_ids,
    reference_logits,
)

HEADS, KV_HEADS, HEAD, WIDTH, VOCABULARY, CONTEXT = 4, 2, 8, 32, 101, 64

Rotate = Callable[[Tensor, Tensor, Tensor], Tensor]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def by_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def backwards(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos + second * sin, first * (-sin) + second * cos], dim=-1)


def by_rotated_half(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.split(x.shape[-1] // 2, dim=-1)
    cos, sin = torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)
    return torch.cat([-second, first], -1) * sin + x * cos


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def repeated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = (each.repeat_interleave(HEADS // KV_HEADS, dim=1) for each in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5)


def expanded(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    batch, _, tokens, head = k.shape
    k, v = (
        each[:, :, None]
        .expand(batch, KV_HEADS, HEADS // KV_HEADS, tokens, head)
        .reshape(batch, HEADS, tokens, head)
        for each in (k, v)
    )
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Attention(nn.Module):
    def __init__(self, rotate: Rotate, attend: Attend) -> None:
        super().__init__()
        self.rotate, self.attend = rotate, attend
        self.q = nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.k = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=True)
        self.v = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=False)
        self.out = nn.Linear(HEADS * HEAD, WIDTH, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = (
            project(x).view(batch, tokens, -1, HEAD).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        attended = self.attend(q, k, v).transpose(1, 2).reshape(batch, tokens, -1)
        return self.out(attended)


class Decoder(nn.Module):
    """One layer; positions are counted, or given."""

    def __init__(
        self,
        rotate: Rotate = by_halves,
        attend: Attend = grouped,
        activation: Callable[[Tensor], Tensor] = F.silu,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.attention = Attention(rotate, attend)
        self.norm = nn.RMSNorm(WIDTH, eps=1e-6)
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.1)
        self.activation = activation
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        frequencies = 1e4 ** (-torch.arange(0, HEAD, 2).float() / HEAD)
        self.register_buffer("frequencies", frequencies)

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions.float()[:, None] * self.frequencies
        return angles.cos(), angles.sin()

    def step(self, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.dropout(self.attention(self.norm(x), cos, sin))
        x = x + self.down(self.activation(self.up(self.norm(x))))
        return self.head(self.norm(x))

    def forward(self, ids: Tensor) -> Tensor:
        return self.step(ids, *self.angles(torch.arange(ids.shape[1])))


class WithPositions(Decoder):
    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1])[None]
        with torch.autocast("cpu", enabled=False):
            cos, sin = self.angles(position_ids[0])
        return self.step(input_ids, cos, sin)


class WithTable(Decoder):
    """Cosines and sines made once, and a loss beside the logits."""

    def __init__(self) -> None:
        super().__init__()
        cos, sin = self.angles(torch.arange(CONTEXT))
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor) -> tuple[Tensor, None]:
        tokens = ids.shape[1]
        return self.step(ids, self.cos[:tokens], self.sin[:tokens]), None


def check(module: nn.Module) -> CapturedModule:
    """Capture a module and compare its logits, first tokens together and then one by one."""
    captured = capture_module(module.eval(), CONTEXT)
    interpreter = Interpreter(captured.module, lambda name: captured.weights[name])
    ids = random_ids(20, VOCABULARY)
    result = module(torch.from_numpy(ids)[None])
    expected = result[0] if isinstance(result, tuple) else result
    assert_close(interpreted_logits(interpreter, ids, 12), expected[0].detach().numpy())
    return captured


@pytest.mark.parametrize("rotate", [by_halves, backwards, by_rotated_half])
def test_ways_to_rotate(rotate: Rotate) -> None:
    captured = check(Decoder(rotate))
    ops = list(captured.module.walk())
    assert len([op for op in ops if isinstance(op, RopeOp)]) == 2
    (frequencies,) = (op for op in ops if isinstance(op, FrequenciesOp))
    assert frequencies.values.data[0] == (-1.0 if rotate is backwards else 1.0)


@pytest.mark.parametrize("attend", [grouped, repeated, expanded])
def test_ways_to_repeat_heads(attend: Attend) -> None:
    captured = check(Decoder(attend=attend))
    (attention,) = (op for op in captured.module.walk() if isinstance(op, AttentionOp))
    assert attention.scale.only == (0.5 if attend is repeated else HEAD**-0.5)


@pytest.mark.parametrize("kind", [WithPositions, WithTable])
def test_ways_to_have_positions(kind: type[Decoder]) -> None:
    check(kind())


def elementwise_functions() -> dict[str, Callable[[Tensor], Tensor]]:
    return {
        "silu": F.silu,
        "swish": lambda x: x * torch.sigmoid(1.5 * x),
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "squared_relu": lambda x: F.relu(x).square(),
        "cube": lambda x: x**3 / 4,
        "fourth": lambda x: -(x**4),
        "root": lambda x: torch.sqrt(x.abs() + 1) - (x.abs() + 2) ** 0.5,
        "inverse": lambda x: torch.rsqrt(x * x + 1) + torch.reciprocal(x.abs() + 1),
        "softplus_written_out": lambda x: torch.log(1 + torch.exp(x)),
        "tanh": lambda x: 2 - torch.tanh(x),
        "erf": lambda x: torch.erf(x).add(x, alpha=0.5).sub(x, alpha=2),
        "between": lambda x: torch.maximum(torch.minimum(x, x * 0.5), x * 0.25),
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
        "elu": lambda x: F.elu(x, 0.7),
        "selu": F.selu,
        "softplus": lambda x: F.softplus(x, 0.5),
        "mish": F.mish,
        "log_sigmoid": F.logsigmoid,
        "clamp": lambda x: x.clamp(-0.3) + x.clamp(max=0.2) - x.clamp(-0.1, 0.1),
        "bounded": lambda x: F.hardtanh(x, -0.5, 0.25),
        "relu6": lambda x: F.relu6(x - 1) * F.hardsigmoid(x),
        "hardswish": F.hardswish,
        "chosen": lambda x: torch.where(x > 0.1, x * x, torch.expm1(torch.min(x, -x))),
        "filled": lambda x: x.masked_fill((x >= 0.3) | ~(x < 0.5) | (x <= -0.4), 0.2),
        "near_zero": lambda x: torch.expm1(x) + torch.log1p(x.abs()) - torch.exp2(x),
        "soft_cap": lambda x: 30 * torch.tanh(x / 30),
        "scaled_by_a_tensor": lambda x: x * torch.tensor(0.7),
    }


@pytest.mark.parametrize("name", elementwise_functions())
def test_elementwise_chain_is_one_map(name: str) -> None:
    captured = check(Decoder(activation=elementwise_functions()[name]))
    assert print_program(captured.module).count("step.map") == 3


def test_a_learned_number_is_a_constant() -> None:
    class Scaled(Decoder):
        def __init__(self) -> None:
            super().__init__(activation=lambda x: F.relu(x) * F.softplus(self.scale))
            self.scale = nn.Parameter(torch.tensor(0.7))

    captured = check(Scaled())
    assert "scale" not in captured.weights


class Tied(Decoder):
    def __init__(self) -> None:
        super().__init__()
        self.head.weight = self.embed.weight


def test_tied_weights_have_the_first_name() -> None:
    captured = check(Tied())
    assert "head.weight" not in captured.weights
    assert captured.weights["embed.weight"].shape == (VOCABULARY, WIDTH)


class SpelledOut(nn.Module):
    """Norms as people write them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.rand(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        mean = (x * x).mean(-1, keepdim=True)
        if self.kind == "rsqrt":
            return self.weight * (x * torch.rsqrt(mean + 1e-5))
        if self.kind == "sqrt":
            return x / torch.sqrt(1e-5 + mean) * self.weight
        return (x.double().float() * (mean + 1e-5).rsqrt()) * (1 + self.weight)


@pytest.mark.parametrize("kind", ["rsqrt", "sqrt", "offset"])
def test_ways_to_write_a_norm(kind: str) -> None:
    module = Decoder()
    module.norm = SpelledOut(kind)
    text = print_program(check(module).module)
    assert text.count("step.norm") == 3
    assert f"offset <{1.0 if kind == 'offset' else 0.0}>" in text


def test_unbatched_views() -> None:
    class Unbatched(Decoder):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids.view(1, -1)).squeeze(0).unflatten(-1, (-1, 1)).flatten(-2)

    module = Unbatched()
    captured = capture_module(module.eval(), CONTEXT)
    interpreter = Interpreter(captured.module, lambda name: captured.weights[name])
    ids = random_ids(6, VOCABULARY)
    expected = reference_logits(lambda tokens: module(tokens)[None], ids)
    assert_close(interpreted_logits(interpreter, ids, 6), expected)


def test_assignment_in_place() -> None:
    class InPlace(Decoder):
        def step(self, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
            x = self.embed(ids).clone()
            x += self.attention(self.norm(x), cos, sin)
            x.mul_(0.5)
            return self.head(x)

    text = print_program(check(InPlace()).module)
    assert "arith.addf" in text
    assert "arith.mulf" in text


def test_context_must_be_known() -> None:
    with pytest.raises(UnsupportedModelError, match="context=") as caught:
        capture_module(Decoder().eval())
    assert caught.value.where == "Decoder"


def test_only_float32_modules() -> None:
    with pytest.raises(UnsupportedModelError, match=r"bfloat16[\s\S]*module.float"):
        capture_module(Decoder().bfloat16(), CONTEXT)
