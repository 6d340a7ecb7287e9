"""Captured decoders of many structures: norms, positions, attention and residuals of all kinds."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Region, SSAValue

from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.model_ops import EmbeddingOp, LinearOp, NormOp, ReshapeOp, SampleOp, SelectOp
from headrace.ir.program_ops import FrequenciesOp, ProgramOp, ReturnOp
from tests.passes.decoder import Decoder, DecoderBuilder


class Structured(DecoderBuilder):
    """A decoder whose parts subclasses choose.

    norm_kind: "rms" or "layer" (with a bias); biased: linears have biases; rotary: rotated
    features of each head, 0 for none; style: of the rotation; learned: positions have a table;
    value_head: features of each value, if not as many as of each key.
    """

    norm_kind = "rms"
    biased = False
    rotary = 16
    style = "halves"
    learned = False
    softcap = 0.0
    slopes: tuple[float, ...] = ()
    sinks = False
    final_bias = False
    value_head: int | None = None
    name = "h.{}"

    def norm(self, x: SSAValue, name: str) -> SSAValue:
        size = x.type.get_shape()[-1]
        weight = self.weight(f"{name}.weight", size)
        bias = self.weight(f"{name}.bias", size) if self.norm_kind == "layer" else None
        return self.builder.insert(NormOp(x, weight, 1e-5, kind=self.norm_kind, bias=bias)).result

    def linear(self, x, name, rows, bias=None):
        """A linear, of some rows of a larger weight where the name ends in a range."""
        base, bracket, part = name.partition("[")
        part, cols = bracket + part, x.type.get_shape()[-1]
        biased = self.biased if bias is None else bias
        weight = self.weight(f"{base}.weight{part}", rows, cols)
        addend = self.weight(f"{base}.bias{part}", rows) if biased else None
        return self.builder.insert(LinearOp(x, weight, addend)).result

    def tables(self, layer: int) -> tuple[str, ...]:
        """The layer's rotary table; none where it rotates nothing."""
        return ("rope0",) if self.rotary else ()

    def normed(self, x: SSAValue, name: str, count: int) -> SSAValue:
        """A query's or key's product as heads."""
        return self.builder.insert(ReshapeOp(x, [count, self.shape.head])).result

    def turned(self, x: SSAValue, layer: int) -> SSAValue:
        for table in self.tables(layer):
            rope = RopeOp(x, self.block.args[1], [table], style=self.style)
            x = self.builder.insert(rope).result
        return x

    def attention(self, n: SSAValue, layer: int) -> SSAValue:
        s, at = self.shape, f"{self.name.format(layer)}.attn"
        _, positions, sequences, _ = self.block.args
        q = self.linear(n, f"{at}.qkv[0:64]", s.heads * s.head)
        k = self.linear(n, f"{at}.qkv[64:96]", s.kv_heads * s.head)
        value_head = self.value_head or s.head
        v = self.linear(n, f"{at}.qkv[96:128]", s.kv_heads * value_head)
        q = self.turned(self.normed(q, f"{at}.q_norm", s.heads), layer)
        k = self.turned(self.normed(k, f"{at}.k_norm", s.kv_heads), layer)
        v = self.builder.insert(ReshapeOp(v, [s.kv_heads, value_head])).result
        cache = self.builder.insert(AppendOp(k, v, positions, sequences, [layer])).cache
        sinks = self.weight(f"{at}.sinks", s.heads) if self.sinks else None
        attended = AttentionOp(
            q,
            cache,
            positions,
            sequences,
            s.head**-0.5,
            [s.windows[layer % len(s.windows)]],
            value_head,
            softcap=self.softcap,
            slopes=self.slopes,
            sinks=sinks,
        )
        result = self.builder.insert(attended).result
        flat = self.builder.insert(ReshapeOp(result, [s.heads * value_head])).result
        return self.linear(flat, f"{at}.o", s.hidden)

    def mlp(self, n: SSAValue, layer: int) -> SSAValue:
        """Not gated: up, activation, down."""
        at = f"{self.name.format(layer)}.mlp"
        up = self.linear(n, f"{at}.up", self.shape.ffn)
        active = self.map(lambda e, x: e.insert(math.TanhOp(x)).result, up)
        return self.linear(active, f"{at}.down", self.shape.hidden)

    def layer(self, x: SSAValue, layer: int) -> SSAValue:
        at = self.name.format(layer)
        x = self.add(x, self.attention(self.norm(x, f"{at}.ln_1"), layer))
        return self.add(x, self.mlp(self.norm(x, f"{at}.ln_2"), layer))

    def embedded(self) -> SSAValue:
        s = self.shape
        tokens, positions, *_ = self.block.args
        table = self.weight("wte.weight", s.vocabulary, s.hidden)
        x = self.builder.insert(EmbeddingOp(tokens, table)).result
        if self.learned:
            places = self.weight("wpe.weight", 32, s.hidden)
            x = self.add(x, self.builder.insert(EmbeddingOp(positions, places)).result)
        return x

    def final(self, x: SSAValue) -> SSAValue:
        return self.norm(x, "ln_f")

    def frequencies(self) -> list[FrequenciesOp]:
        values = [1e4 ** (-2 * i / self.rotary) for i in range(self.rotary // 2)]
        return [FrequenciesOp("rope0", values)] if self.rotary else []

    def module(self) -> ModuleOp:
        x = self.embedded()
        for layer in range(self.shape.layers):
            x = self.layer(x, layer)
        x = self.builder.insert(SelectOp(x, self.block.args[3])).result
        logits = self.linear(self.final(x), "lm_head", self.shape.vocabulary, self.final_bias)
        token = self.builder.insert(SampleOp(logits)).result
        self.builder.insert(ReturnOp([logits, token]))
        program = ProgramOp("main", 32, Region(self.block))
        module = ModuleOp([*self.frequencies(), program])
        module.verify()
        return module


class Learned(Structured):
    """GPT-2: learned positions, layer norms and biases everywhere."""

    norm_kind, biased, rotary, learned = "layer", True, 0, True


class Parallel(Structured):
    """Phi-2: attention and MLP on one norm, part of each head rotated, biases, a biased head."""

    norm_kind, biased, rotary, final_bias = "layer", True, 8, True

    def layer(self, x: SSAValue, layer: int) -> SSAValue:
        n = self.norm(x, f"{self.name.format(layer)}.ln")
        return self.add(self.add(self.attention(n, layer), self.mlp(n, layer)), x)


class Beside(Structured):
    """GPT-NeoX: attention and MLP side by side, each on a norm of its own; one sum of three."""

    norm_kind, biased, rotary = "layer", True, 4

    def layer(self, x: SSAValue, layer: int) -> SSAValue:
        at = self.name.format(layer)
        a, b = self.norm(x, f"{at}.ln_1"), self.norm(x, f"{at}.ln_2")
        m = self.mlp(b, layer)
        return self.map(
            lambda e, *v: (
                e.insert(arith.AddfOp(e.insert(arith.AddfOp(v[0], v[1])).result, v[2])).result
            ),
            m,
            self.attention(a, layer),
            x,
        )


class Bare(Parallel):
    """OLMo and GPT-J: norms without weights, rotated neighbours, multi-query attention."""

    biased, final_bias, style, rotary = False, True, "pairs", 12

    def norm(self, x: SSAValue, name: str) -> SSAValue:
        return self.builder.insert(NormOp(x, None, 1e-5, kind="layer")).result


class Whole(Structured):
    """OLMo 2: queries and keys normalised over all heads, norms behind attention and MLP only."""

    def normed(self, x: SSAValue, name: str, count: int) -> SSAValue:
        return super().normed(self.norm(x, name), name, count)

    def layer(self, x: SSAValue, layer: int) -> SSAValue:
        at = self.name.format(layer)
        x = self.add(x, self.norm(self.attention(x, layer), f"{at}.post_attention"))
        return self.add(x, self.norm(self.mlp(x, layer), f"{at}.post_mlp"))


class WholeQueries(Structured):
    """Only the queries are normalised over all heads; keys are appended by their product."""

    def normed(self, x: SSAValue, name: str, count: int) -> SSAValue:
        return super().normed(self.norm(x, name) if "q_norm" in name else x, name, count)


class EachFeature(Structured):
    """Cohere: heads normalised each for itself, with a weight a feature of each head."""

    style = "pairs"

    def normed(self, x: SSAValue, name: str, count: int) -> SSAValue:
        weight = self.weight(f"{name}.weight", count * self.shape.head)
        heads = super().normed(x, name, count)
        return self.builder.insert(NormOp(heads, weight, 1e-5, kind="layer")).result


class Sloped(Structured):
    """Bloom: slopes instead of rotation, and a norm of the embeddings."""

    norm_kind, biased, rotary, slopes = "layer", True, 0, (0.5, 0.25, 0.125, 0.0625)

    def embedded(self) -> SSAValue:
        return self.norm(super().embedded(), "wte_norm")


class Sunk(Structured):
    """gpt-oss's attention: sinks, windows in every other layer, biases; Gemma 2's softcap."""

    biased, sinks, softcap = True, True, 2.0


class Unrotated(Structured):
    """SmolLM3 and Cohere 2: every fourth layer rotates nothing."""

    def tables(self, layer: int) -> tuple[str, ...]:
        return () if layer % 4 == 3 else super().tables(layer)


STRUCTURES: tuple[Callable[[Decoder], Structured], ...] = (
    Structured,
    Learned,
    Parallel,
    Beside,
    Bare,
    Whole,
    WholeQueries,
    EachFeature,
    Sloped,
    Sunk,
    Unrotated,
)
