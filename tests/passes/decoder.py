"""Captured decoders of the families' structures, built by hand at any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, ModuleOp, f32
from xdsl.ir import Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
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


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder's shape; `family` is "llama", "qwen2", "qwen3" or "gemma3".

    format: of all matrices, but those that `formats` has by a part of their names.
    """

    family: str = "llama"
    layers: int = 3
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    head: int = 16
    ffn: int = 96
    vocabulary: int = 100
    format: str = "q4_0"
    windows: Sequence[int] = (0,)
    ffn_of_layer: Callable[[int], int] | None = None
    formats: Mapping[str, str] = field(default_factory=dict[str, str])

    def format_of(self, name: str) -> str:
        """The format in which a matrix is stored."""
        found = (format for part, format in self.formats.items() if part in name)
        return next(found, self.format)


SMOLLM2 = Decoder(
    layers=30, hidden=576, heads=9, kv_heads=3, head=64, ffn=1536, vocabulary=49152, format="q4_1"
)


class DecoderBuilder:
    def __init__(self, shape: Decoder) -> None:
        self.shape = shape
        self.block = ProgramOp.entry_block()
        self.builder = Builder(InsertPoint.at_end(self.block))

    def weight(self, name: str, *dims: int) -> SSAValue:
        format = self.shape.format_of(name) if len(dims) == 2 else "f32"
        return self.builder.insert(WeightOp(name, WeightType.of(dims, format))).result

    def linear(self, x: SSAValue, name: str, rows: int, bias: bool = False) -> SSAValue:
        cols = x.type.get_shape()[-1]
        w = self.weight(f"{name}.weight", rows, cols)
        b = self.weight(f"{name}.bias", rows) if bias else None
        return self.builder.insert(LinearOp(x, w, b)).result

    def norm(self, x: SSAValue, name: str) -> SSAValue:
        w = self.weight(f"{name}.weight", x.type.get_shape()[-1])
        offset = 1.0 if self.shape.family == "gemma3" else 0.0
        return self.builder.insert(NormOp(x, w, 1e-5, offset)).result

    def map(self, body: Callable[..., SSAValue], *inputs: SSAValue) -> SSAValue:
        block = Block(arg_types=[f32] * len(inputs))
        inner = Builder(InsertPoint.at_end(block))
        inner.insert(YieldOp([body(inner, *block.args)]))
        return self.builder.insert(MapOp(inputs, Region(block))).result

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.map(lambda at, x, y: at.insert(arith.AddfOp(x, y)).result, a, b)

    def gated(self, gate: SSAValue, up: SSAValue) -> SSAValue:
        def silu_times(at: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
            one = at.insert(arith.ConstantOp(FloatAttr(1.0, f32))).result
            e = at.insert(math.ExpOp(at.insert(arith.NegfOp(x)).result)).result
            s = at.insert(arith.DivfOp(x, at.insert(arith.AddfOp(e, one)).result)).result
            return at.insert(arith.MulfOp(s, y)).result

        return self.map(silu_times, gate, up)

    def heads(self, x: SSAValue, name: str, count: int) -> SSAValue:
        value = self.builder.insert(ReshapeOp(x, [count, self.shape.head])).result
        normed = self.shape.family in ("qwen3", "gemma3")
        return self.norm(value, name) if normed else value

    def rope(self, x: SSAValue, window: int) -> SSAValue:
        table = "rope1" if window else "rope0"
        return self.builder.insert(RopeOp(x, self.block.args[1], [table])).result

    def attention(self, n: SSAValue, layer: int) -> SSAValue:
        s, at = self.shape, f"model.layers.{layer}.self_attn"
        _, positions, sequences, _ = self.block.args
        window = s.windows[layer % len(s.windows)]
        bias = s.family == "qwen2"
        q = self.linear(n, f"{at}.q_proj", s.heads * s.head, bias)
        k = self.linear(n, f"{at}.k_proj", s.kv_heads * s.head, bias)
        v = self.linear(n, f"{at}.v_proj", s.kv_heads * s.head, bias)
        q = self.rope(self.heads(q, f"{at}.q_norm", s.heads), window)
        k = self.rope(self.heads(k, f"{at}.k_norm", s.kv_heads), window)
        v = self.builder.insert(ReshapeOp(v, [s.kv_heads, s.head])).result
        cache = self.builder.insert(AppendOp(k, v, positions, sequences, [layer])).cache
        result = self.builder.insert(
            AttentionOp(q, cache, positions, sequences, s.head**-0.5, [window], s.head)
        ).result
        flat = self.builder.insert(ReshapeOp(result, [s.heads * s.head])).result
        return self.linear(flat, f"{at}.o_proj", s.hidden)

    def mlp(self, n: SSAValue, layer: int) -> SSAValue:
        s, at = self.shape, f"model.layers.{layer}.mlp"
        ffn = s.ffn if s.ffn_of_layer is None else s.ffn_of_layer(layer)
        gate = self.linear(n, f"{at}.gate_proj", ffn)
        up = self.linear(n, f"{at}.up_proj", ffn)
        return self.linear(self.gated(gate, up), f"{at}.down_proj", s.hidden)

    def layer(self, x: SSAValue, layer: int) -> SSAValue:
        at = f"model.layers.{layer}"
        post = self.shape.family == "gemma3"
        a = self.attention(self.norm(x, f"{at}.input_layernorm"), layer)
        if not post:
            x = self.add(x, a)
            return self.add(x, self.mlp(self.norm(x, f"{at}.post_attention_layernorm"), layer))
        x = self.add(x, self.norm(a, f"{at}.post_attention_layernorm"))
        m = self.mlp(self.norm(x, f"{at}.pre_feedforward_layernorm"), layer)
        return self.add(x, self.norm(m, f"{at}.post_feedforward_layernorm"))

    def module(self) -> ModuleOp:
        s = self.shape
        table = self.weight("model.embed_tokens.weight", s.vocabulary, s.hidden)
        x = self.builder.insert(EmbeddingOp(self.block.args[0], table)).result
        if s.family == "gemma3":
            x = self.map(_scaled(s.hidden**0.5), x)
        for layer in range(s.layers):
            x = self.layer(x, layer)
        x = self.builder.insert(SelectOp(x, self.block.args[3])).result
        logits = self.linear(self.norm(x, "model.norm"), "lm_head", s.vocabulary)
        token = self.builder.insert(SampleOp(logits)).result
        self.builder.insert(ReturnOp([logits, token]))
        frequencies = [FrequenciesOp("rope0", _frequencies(s.head, 1e4))]
        if any(s.windows):
            frequencies.append(FrequenciesOp("rope1", _frequencies(s.head, 1e2)))
        module = ModuleOp([*frequencies, ProgramOp("main", 8192, Region(self.block))])
        module.verify()
        return module


def _scaled(factor: float) -> Callable[[Builder, SSAValue], SSAValue]:
    def body(at: Builder, x: SSAValue) -> SSAValue:
        constant = at.insert(arith.ConstantOp(FloatAttr(factor, f32))).result
        return at.insert(arith.MulfOp(x, constant)).result

    return body


def _frequencies(head: int, base: float) -> list[float]:
    return [base ** (-2 * i / head) for i in range(head // 2)]


def captured(shape: Decoder) -> ModuleOp:
    """The program as the frontend would capture it."""
    return DecoderBuilder(shape).module()
