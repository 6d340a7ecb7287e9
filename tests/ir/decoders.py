"""Small decoders for tests: the same model as a `step` program and as PyTorch formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu
from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, ModuleOp, f32
from xdsl.ir import Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.mapping_ops import LoopOp
from headrace.ir.model_ops import (
    EmbeddingOp,
    LinearOp,
    MapOp,
    NormOp,
    ReshapeOp,
    SampleOp,
    SelectOp,
)
from headrace.ir.program_ops import FrequenciesOp, ProgramOp, ReturnOp, WeightOp, YieldOp
from headrace.ir.types import WeightType

EPSILON = 1e-5


@dataclass(frozen=True)
class Decoder:
    """A Llama-like decoder; `windows` and `thetas` have one entry a layer."""

    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head: int = 16
    features: int = 64
    hidden: int = 96
    vocabulary: int = 100
    windows: tuple[int, ...] = (0, 0)
    thetas: tuple[float, ...] = (10000.0, 10000.0)
    head_norm: bool = False
    bias: bool = False
    post_norm: bool = False
    context: int = 64
    seed: int = 0

    def frequencies(self, theta: float) -> list[float]:
        return [theta ** (-2 * i / self.head) for i in range(self.head // 2)]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters, by name."""
        query, kv = self.heads * self.head, self.kv_heads * self.head
        shapes: dict[str, tuple[int, ...]] = {
            "embed": (self.vocabulary, self.features),
            "norm": (self.features,),
        }
        for layer in range(self.layers):
            each = {
                "attention_norm": (self.features,),
                "q": (query, self.features),
                "q_bias": (query,),
                "q_norm": (self.head,),
                "k": (kv, self.features),
                "v": (kv, self.features),
                "o": (self.features, query),
                "post_norm": (self.features,),
                "mlp_norm": (self.features,),
                "gate": (self.hidden, self.features),
                "up": (self.hidden, self.features),
                "down": (self.features, self.hidden),
            }
            shapes |= {f"layers.{layer}.{name}": shape for name, shape in each.items()}
        return shapes

    def weights(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        return {name: _random_weight(rng, shape) for name, shape in sorted(self.shapes().items())}


@st.composite
def decoders(draw: st.DrawFn) -> Decoder:
    layers = draw(st.integers(1, 3))
    kv_heads = draw(st.integers(1, 3))
    return Decoder(
        layers=layers,
        kv_heads=kv_heads,
        heads=kv_heads * draw(st.integers(1, 3)),
        head=2 * draw(st.integers(1, 10)),
        features=draw(st.integers(1, 70)),
        hidden=draw(st.integers(1, 70)),
        vocabulary=draw(st.integers(2, 70)),
        windows=tuple(draw(st.lists(st.integers(0, 5), min_size=layers, max_size=layers))),
        thetas=tuple(
            draw(st.lists(st.sampled_from([100.0, 10000.0]), min_size=layers, max_size=layers))
        ),
        head_norm=draw(st.booleans()),
        bias=draw(st.booleans()),
        post_norm=draw(st.booleans()),
        seed=draw(st.integers(0, 2**31)),
    )


def _random_weight(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = rng.standard_normal(shape) / np.sqrt(shape[-1])
    return (values + (len(shape) == 1)).astype(np.float32)


class _Body:
    """Inserts operators at the end of a block."""

    def __init__(self, block: Block, decoder: Decoder, program: Block) -> None:
        self.builder = Builder(InsertPoint.at_end(block))
        self.decoder = decoder
        self.program = program

    def weight(self, name: str, layers: Sequence[int] | None = None) -> SSAValue:
        """`layers` of one entry and no loop give the plain name."""
        shape = self.decoder.shapes()[name.replace("{}", "0")]
        kind = WeightType.of(shape, "f32")
        return self.builder.insert(WeightOp(name, kind, layers)).result

    def linear(self, x: SSAValue, weight: SSAValue, bias: SSAValue | None = None) -> SSAValue:
        return self.builder.insert(LinearOp(x, weight, bias)).result

    def norm(self, x: SSAValue, weight: SSAValue) -> SSAValue:
        return self.builder.insert(NormOp(x, weight, EPSILON)).result

    def reshape(self, x: SSAValue, *features: int) -> SSAValue:
        return self.builder.insert(ReshapeOp(x, features)).result

    def add(self, x: SSAValue, y: SSAValue) -> SSAValue:
        block = Block(arg_types=[f32, f32])
        inner = Builder(InsertPoint.at_end(block))
        total = inner.insert(arith.AddfOp(*block.args)).result
        inner.insert(YieldOp([total]))
        return self.builder.insert(MapOp([x, y], Region(block))).result

    def gated(self, gate: SSAValue, up: SSAValue) -> SSAValue:
        block = Block(arg_types=[f32, f32])
        inner = Builder(InsertPoint.at_end(block))
        one = inner.insert(arith.ConstantOp(FloatAttr(1.0, f32))).result
        exponential = inner.insert(math.ExpOp(inner.insert(arith.NegfOp(block.args[0])).result))
        divisor = inner.insert(arith.AddfOp(one, exponential.result)).result
        silu_of_gate = inner.insert(arith.DivfOp(block.args[0], divisor)).result
        inner.insert(YieldOp([inner.insert(arith.MulfOp(silu_of_gate, block.args[1])).result]))
        return self.builder.insert(MapOp([gate, up], Region(block))).result

    def layer(self, x: SSAValue, layers: Sequence[int], looped: bool) -> SSAValue:
        """One layer, or the layers of a loop's body."""
        d = self.decoder

        def weight(name: str) -> SSAValue:
            if looped:
                return self.weight(f"layers.{{}}.{name}", layers)
            return self.weight(f"layers.{layers[0]}.{name}")

        attended = self._attention(x, layers, weight)
        out = self.linear(attended, weight("o"))
        if d.post_norm:
            out = self.norm(out, weight("post_norm"))
        x = self.add(x, out)
        normed = self.norm(x, weight("mlp_norm"))
        gate, up = self.linear(normed, weight("gate")), self.linear(normed, weight("up"))
        out = self.linear(self.gated(gate, up), weight("down"))
        if d.post_norm:
            out = self.norm(out, weight("post_norm"))
        return self.add(x, out)

    def _attention(self, x: SSAValue, layers: Sequence[int], weight) -> SSAValue:
        d = self.decoder
        _, positions, sequences, _ = self.program.args
        normed = self.norm(x, weight("attention_norm"))
        q = self.linear(normed, weight("q"), weight("q_bias") if d.bias else None)
        q = self.reshape(q, d.heads, d.head)
        if d.head_norm:
            q = self.norm(q, weight("q_norm"))
        k = self.reshape(self.linear(normed, weight("k")), d.kv_heads, d.head)
        v = self.reshape(self.linear(normed, weight("v")), d.kv_heads, d.head)
        tables = _uniform([f"rope{d.thetas[layer]:g}".replace(".", "_") for layer in layers])
        q = self.builder.insert(RopeOp(q, positions, tables)).result
        k = self.builder.insert(RopeOp(k, positions, tables)).result
        cache = self.builder.insert(AppendOp(k, v, positions, sequences, layers)).cache
        windows = _uniform([d.windows[layer] for layer in layers])
        attention = AttentionOp(q, cache, positions, sequences, d.head**-0.5, windows, d.head)
        attended = self.builder.insert(attention).result
        return self.reshape(attended, d.heads * d.head)


def _uniform(entries: list) -> list:
    return entries[:1] if len(set(entries)) == 1 else entries


def program_of(decoder: Decoder, looped: bool = False) -> ModuleOp:
    """The decoder as a verified module, captured (every layer spelled out) or looped."""
    entry = ProgramOp.entry_block()
    body = _Body(entry, decoder, entry)
    tokens, _, _, outputs = entry.args
    x: SSAValue = body.builder.insert(EmbeddingOp(tokens, body.weight("embed"))).result
    if looped:
        block = Block(arg_types=[x.type])
        inner = _Body(block, decoder, entry)
        result = inner.layer(block.args[0], range(decoder.layers), looped=True)
        inner.builder.insert(YieldOp([result]))
        x = body.builder.insert(LoopOp(decoder.layers, [x], Region(block))).results[0]
    else:
        for layer in range(decoder.layers):
            x = body.layer(x, [layer], looped=False)
    selected = body.builder.insert(SelectOp(x, outputs)).result
    logits = body.linear(body.norm(selected, body.weight("norm")), body.weight("embed"))
    following = body.builder.insert(SampleOp(logits)).result
    body.builder.insert(ReturnOp([logits, following]))
    module = ModuleOp([*_tables(decoder), ProgramOp("main", decoder.context, Region(entry))])
    module.verify()
    return module


def _tables(decoder: Decoder) -> list[FrequenciesOp]:
    return [
        FrequenciesOp(f"rope{theta:g}".replace(".", "_"), decoder.frequencies(theta))
        for theta in sorted(set(decoder.thetas))
    ]


def reference_logits(decoder: Decoder, ids: Sequence[int]) -> np.ndarray:
    """PyTorch's float32 logits of one sequence, [T, vocabulary]."""
    w = {name: torch.from_numpy(array) for name, array in decoder.weights().items()}
    x = w["embed"][torch.tensor(ids)]
    for layer in range(decoder.layers):
        x = _reference_layer(decoder, w, x, layer)
    return (rms_norm(x, x.shape[-1:], w["norm"], EPSILON) @ w["embed"].T).numpy()


def _reference_layer(
    d: Decoder, w: dict[str, torch.Tensor], x: torch.Tensor, layer: int
) -> torch.Tensor:
    def weight(name: str) -> torch.Tensor:
        return w[f"layers.{layer}.{name}"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return rms_norm(x, x.shape[-1:], weight(name), EPSILON)

    def residual(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return x + (norm(out, "post_norm") if d.post_norm else out)

    n = norm(x, "attention_norm")
    q = n @ weight("q").T + (weight("q_bias") if d.bias else 0)
    q = q.view(-1, d.heads, d.head)
    q = norm(q, "q_norm") if d.head_norm else q
    k, v = ((n @ weight(name).T).view(-1, d.kv_heads, d.head) for name in "kv")
    q, k = (_reference_rope(d, y, d.thetas[layer]) for y in (q, k))
    q, k, v = (y.transpose(0, 1) for y in (q, k, v))
    mask = _reference_mask(len(x), d.windows[layer])
    a = scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    x = residual(x, a.transpose(0, 1).reshape(len(x), -1) @ weight("o").T)
    n = norm(x, "mlp_norm")
    mlp = silu(n @ weight("gate").T) * (n @ weight("up").T)
    return residual(x, mlp @ weight("down").T)


def _reference_rope(d: Decoder, x: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotation as a complex product, unlike the interpreter's."""
    frequencies = torch.tensor(d.frequencies(theta), dtype=torch.float32)
    angles = torch.arange(len(x), dtype=torch.float32)[:, None, None] * frequencies
    low, high = x.chunk(2, dim=-1)
    rotated = torch.complex(low, high) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([rotated.real, rotated.imag], dim=-1)


def _reference_mask(tokens: int, window: int) -> torch.Tensor:
    position = torch.arange(tokens)
    distance = position[:, None] - position[None, :]
    return (distance >= 0) & ((distance < window) if window else torch.tensor(True))
