"""Fused projections are taken apart; weights are stored either way round; positions are learned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from headrace.errors import UnsupportedOperatorError
from headrace.frontend.capture import CapturedModule, capture_module
from headrace.ir.dialect import step_context
from headrace.ir.mapping_ops import LoopOp
from headrace.ir.model_ops import EmbeddingOp, LinearOp
from headrace.ir.norm_op import NormOp
from headrace.ir.program_ops import WeightOp
from headrace.passes.loop_layers import LoopLayersPass
from tests.frontend.test_own_modules import (
    CONTEXT,
    HEAD,
    HEADS,
    KV_HEADS,
    VOCABULARY,
    WIDTH,
    check,
)

GROUP = HEADS // KV_HEADS
Heads = tuple[Tensor, Tensor, Tensor]
Take = Callable[[Tensor], Heads]


def by_kind(fused: Tensor) -> Heads:
    """All queries, all keys, all values: Phi-3, GPT-2."""
    sizes = [HEADS * HEAD, KV_HEADS * HEAD, KV_HEADS * HEAD]
    q, k, v = (each.unflatten(-1, (-1, HEAD)) for each in fused.split(sizes, dim=-1))
    return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def by_group(fused: Tensor) -> Heads:
    """For each key its queries, itself, its value: Falcon, with keys repeated."""
    heads = fused.view(1, fused.shape[1], KV_HEADS, GROUP + 2, HEAD)
    q, k, v = heads[..., :-2, :], heads[..., [-2], :], heads[..., [-1], :]
    k, v = torch.broadcast_to(k, q.shape), torch.broadcast_to(v, q.shape)
    q, k, v = (each.flatten(2, 3).transpose(1, 2) for each in (q, k, v))
    return q, k, v


def one_key(fused: Tensor) -> Heads:
    """A single key and value, without a dimension of heads: multi-query attention."""
    q, k, v = fused.unsqueeze(1).split([HEADS * HEAD, HEAD, HEAD], dim=3)
    q = q.view(1, fused.shape[1], HEADS, HEAD).transpose(1, 2)
    return q, k.expand(1, HEADS, -1, -1), v.expand(1, HEADS, -1, -1)


def head_by_head(fused: Tensor) -> Heads:
    """For each head its query, key and value: GPT-NeoX."""
    q, k, v = fused.view(1, -1, HEADS, 3 * HEAD).transpose(1, 2).chunk(3, dim=-1)
    return q, k, v


def unbound(fused: Tensor) -> Heads:
    """A dimension of three, outside of the heads."""
    q, k, v = fused.view(1, -1, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4).unbind(0)
    return q, k, v


def selected(fused: Tensor) -> Heads:
    """A dimension of three, inside of the heads: BLOOM."""
    heads = fused.view(1, -1, HEADS, HEAD, 3).transpose(1, 2)
    return heads[..., 0], heads.select(-1, 1), heads.narrow(-1, 2, 1).squeeze(-1)


ROWS = {
    by_kind: (HEADS + 2 * KV_HEADS) * HEAD,
    by_group: KV_HEADS * (GROUP + 2) * HEAD,
    one_key: (HEADS + 2) * HEAD,
    head_by_head: 3 * HEADS * HEAD,
    unbound: 3 * HEADS * HEAD,
    selected: 3 * HEADS * HEAD,
}


class Layer(nn.Module):
    def __init__(self, take: Take) -> None:
        super().__init__()
        self.take = take
        self.qkv = nn.Linear(WIDTH, ROWS[take])
        self.out = nn.Linear(HEADS * HEAD, WIDTH)
        self.gate_up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.take(self.qkv(x))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.out(attended.transpose(1, 2).flatten(-2))
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    """Layers with learned positions, `offset` rows into their table."""

    def __init__(self, take: Take = by_kind, layers: int = 1, offset: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.offset = offset
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(CONTEXT + 2, WIDTH)
        self.layers = nn.ModuleList(Layer(take) for _ in range(layers))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def positions(self, ids: Tensor) -> Tensor:
        return torch.arange(ids.shape[1]) + self.offset

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.places(self.positions(ids))
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def weight_names(captured: CapturedModule) -> list[str]:
    ops = captured.module.walk()
    return [op.weight_name.data for op in ops if isinstance(op, WeightOp)]


def refused(module: nn.Module) -> str:
    with pytest.raises(UnsupportedOperatorError) as caught:
        capture_module(module.eval(), CONTEXT)
    return str(caught.value)


@pytest.mark.parametrize("take", ROWS, ids=lambda each: each.__name__)
def test_ways_to_fuse_projections(take: Take) -> None:
    captured = check(Decoder(take))
    products = [op for op in captured.module.walk() if isinstance(op, LinearOp)]
    assert len(products) == 3 + 1 + 2 + 1 + 1
    rows = sum(len(captured.weights[name]) for name in weight_names(captured) if "qkv.b" in name)
    assert rows == ROWS[take]


def test_parts_have_names_and_share_memory() -> None:
    module = Decoder()
    captured = check(module)
    q, k, v = HEADS * HEAD, (HEADS + KV_HEADS) * HEAD, (HEADS + 2 * KV_HEADS) * HEAD
    names = [name for name in weight_names(captured) if ".qkv.weight" in name]
    stem = "layers.0.qkv.weight"
    assert names == [f"{stem}[0:{q}]", f"{stem}[{q}:{k}]", f"{stem}[{k}:{v}]"]
    fused = module.layers[0].qkv.weight.detach().numpy()
    assert all(np.shares_memory(captured.weights[name], fused) for name in names)


def test_products_stand_where_the_model_makes_them() -> None:
    class Earlier(Layer):
        def forward(self, x: Tensor) -> Tensor:
            fused, x = self.qkv(x), F.silu(x)
            q, k, v = self.take(fused)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            return x + self.out(attended.transpose(1, 2).flatten(-2))

    module = Decoder()
    module.layers[0] = Earlier(head_by_head)
    names = [op.name for op in check(module).module.walk() if not isinstance(op, WeightOp)]
    products = names[names.index("step.linear") : names.index("step.append")]
    assert [each for each in products if each not in ("step.map", "step.yield")][:6] == [
        "step.linear",
        "step.reshape",
    ] * 3


@pytest.mark.parametrize("take", [by_kind, by_group], ids=lambda each: each.__name__)
def test_parts_roll_in_a_loop(take: Take) -> None:
    captured = capture_module(Decoder(take, layers=3).eval(), CONTEXT)
    LoopLayersPass().apply(step_context(), captured.module)
    (loop,) = (op for op in captured.module.walk() if isinstance(op, LoopOp))
    assert loop.trip_count == 3
    assert any(name.startswith("layers.{}.qkv.weight[0") for name in weight_names(captured))


class Transposed(nn.Module):
    """A product written out, with the weight `[columns, rows]` or the other way round."""

    def __init__(self, kind: str, columns: int, rows: int) -> None:
        super().__init__()
        self.kind = kind
        shape = (columns, rows) if kind in ("addmm", "matmul", "t twice") else (rows, columns)
        self.weight = nn.Parameter(torch.randn(shape) / 4)
        self.bias = nn.Parameter(torch.randn(rows))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "addmm":
            flat = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
            return flat.view(*x.shape[:-1], -1)
        if self.kind == "matmul":
            return x @ self.weight + self.bias
        if self.kind == "t twice":
            return F.linear(x, self.weight.t(), self.bias)
        return torch.matmul(x, self.weight.mT if self.kind == "mT" else self.weight.T) + self.bias


@pytest.mark.parametrize("kind", ["addmm", "matmul", "t twice", "T", "mT"])
def test_weights_either_way_round(kind: str) -> None:
    module = Decoder()
    module.layers[0].qkv = Transposed(kind, WIDTH, ROWS[by_kind])
    captured = check(module)
    assert any("weight.T[" in name for name in weight_names(captured)) == (kind[-1:] not in "T")


@pytest.mark.parametrize("offset", [0, 2])
def test_learned_positions(offset: int) -> None:
    captured = check(Decoder(offset=offset))
    tables = [op.table for op in captured.module.walk() if isinstance(op, EmbeddingOp)]
    names = [table.owner.weight_name.data for table in tables]  # pyright: ignore
    assert names == ["embed.weight", f"places.weight[2:{CONTEXT + 2}]" if offset else names[1]]


def test_positions_from_a_mask_of_ones() -> None:
    class Counted(Decoder):
        def positions(self, ids: Tensor) -> Tensor:
            mask = torch.ones(ids.shape)
            return ((torch.cumsum(mask, dim=1) * mask).long() - 1) + 2

    assert f"places.weight[2:{CONTEXT + 2}]" in weight_names(check(Counted()))


def test_tables_of_positions_must_be_long_enough() -> None:
    assert f"a table of {CONTEXT + 2} positions" in refused(Decoder(offset=3))


def test_other_numbers_than_positions() -> None:
    class Doubled(Decoder):
        def positions(self, ids: Tensor) -> Tensor:
            return torch.arange(ids.shape[1]) // 2

    assert "something else than token ids or positions" in refused(Doubled())


def test_parts_of_clipped_products() -> None:
    class Clipped(Layer):
        def forward(self, x: Tensor) -> Tensor:
            gate, up = (2 * self.gate_up(x).clamp(-1, 1)).chunk(2, dim=-1)
            return x + self.down(gate * torch.sigmoid(up))

    module = Decoder()
    module.layers[0] = Clipped(by_kind)
    products = [op for op in check(module).module.walk() if isinstance(op, LinearOp)]
    assert len(products) == 2 + 1 + 1


def test_parts_of_what_is_no_product() -> None:
    class Late(Layer):
        def forward(self, x: Tensor) -> Tensor:
            return (self.gate_up(x) * self.gate_up(2 * x))[..., :WIDTH]

    module = Decoder()
    module.layers[0] = Late(by_kind)
    assert "not the result of a product" in refused(module)


def test_rows_without_a_regular_order() -> None:
    class Shuffled(Layer):
        def forward(self, x: Tensor) -> Tensor:
            order = torch.tensor([0, 1, 3, 2, 5] * (WIDTH // 4))[:WIDTH]
            return x + self.gate_up(x).index_select(-1, order)

    module = Decoder()
    module.layers[0] = Shuffled(by_kind)
    assert "no regular order" in refused(module)


class NormOfEachHead(nn.Module):
    def __init__(self, heads: int, bias: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(HEAD, bias=bias) for _ in range(heads))
        for parameter in self.parameters():
            nn.init.uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        heads = x.split(1, dim=1)
        return torch.cat([norm(each) for norm, each in zip(self.norms, heads, strict=True)], dim=1)


class NormedLayer(Layer):
    def __init__(self, bias: bool) -> None:
        super().__init__(by_kind)
        self.norm = NormOfEachHead(HEADS, bias)
        self.take = self.normed

    def normed(self, fused: Tensor) -> Heads:
        q, k, v = by_kind(fused)
        return self.norm(q), k, v


@pytest.mark.parametrize("bias", [False, True])
def test_norms_of_single_heads_are_one(bias: bool) -> None:
    module = Decoder()
    module.layers = nn.ModuleList(NormedLayer(bias) for _ in range(2))
    captured = check(module)
    norms = [op for op in captured.module.walk() if isinstance(op, NormOp)]
    assert len(norms) == 2
    stem = "layers.0.norm.norms.0"
    names = [name for name in weight_names(captured) if stem in name]
    assert names == [f"{stem}.{part}+{HEADS - 1}" for part in ("weight", "bias")[: 1 + bias]]
    assert all(captured.weights[name].shape == (HEADS * HEAD,) for name in names)


def test_heads_normed_in_another_order() -> None:
    class Reversed(NormOfEachHead):
        def forward(self, x: Tensor) -> Tensor:
            heads = reversed(x.split(1, dim=1))
            return torch.cat([norm(each) for norm, each in zip(self.norms, heads)], dim=1)  # noqa: B905

    module = Decoder()
    module.layers[0] = NormedLayer(bias=False)
    module.layers[0].norm = Reversed(HEADS, bias=False)
    assert "parts of tensors are joined" in refused(module)
