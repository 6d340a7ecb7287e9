"""Decoders of random shapes and parts, natively: the interpreter's logits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, f32
from xdsl.ir import SSAValue

from headrace.ir.model_ops import NormOp
from tests.passes.decoder import Decoder
from tests.passes.structures import Structured
from tests.runtime.native import check_native


@dataclass(frozen=True)
class Parts:
    """What a drawn decoder is made of; see `Structured`.

    head_norm: "" for none, "head" with one weight for all heads, "feature" with one a feature of
    each head, "row" over all heads. cap: of the logits. factor: of the residual branches.
    """

    norm_kind: str
    weighted: bool
    head_norm: str
    biased: bool
    rotary: int
    style: str
    learned: bool
    softcap: float
    sloped: bool
    sinks: bool
    parallel: bool
    gated: bool
    cap: float
    factor: float
    value_head: int


class Drawn(Structured):
    """A decoder of drawn parts."""

    def __init__(self, shape: Decoder, parts: Parts) -> None:
        super().__init__(shape)
        self.parts = parts
        self.norm_kind, self.biased, self.final_bias = parts.norm_kind, parts.biased, parts.biased
        self.rotary, self.style, self.learned = parts.rotary, parts.style, parts.learned
        self.softcap, self.sinks, self.value_head = parts.softcap, parts.sinks, parts.value_head
        heads = range(shape.heads)
        self.slopes = tuple(2.0 ** -(head + 1) for head in heads) if parts.sloped else ()

    def norm(self, x: SSAValue, name: str) -> SSAValue:
        if self.parts.weighted:
            return super().norm(x, name)
        return self.builder.insert(NormOp(x, None, 1e-5, kind=self.norm_kind)).result

    def normed(self, x: SSAValue, name: str, count: int) -> SSAValue:
        if self.parts.head_norm == "row":
            x = self.norm(x, name)
        heads = super().normed(x, name, count)
        if self.parts.head_norm == "head":
            return self.norm(heads, name)
        if self.parts.head_norm == "feature":
            weight = self.weight(f"{name}.weight", count * self.shape.head)
            bias = self.weight(f"{name}.bias", count * self.shape.head)
            norm = NormOp(heads, weight, 1e-5, kind="layer", bias=bias)
            return self.builder.insert(norm).result
        return heads

    def mlp(self, n: SSAValue, layer: int) -> SSAValue:
        if not self.parts.gated:
            return super().mlp(n, layer)
        at = f"{self.name.format(layer)}.mlp"
        gate, up = (self.linear(n, f"{at}.{part}", self.shape.ffn) for part in ("gate", "up"))
        return self.linear(self.gated(gate, up), f"{at}.down", self.shape.hidden)

    def layer(self, x: SSAValue, layer: int) -> SSAValue:
        at = self.name.format(layer)
        if self.parts.parallel:
            n = self.norm(x, f"{at}.ln")
            return self.joined(self.joined(x, self.attention(n, layer)), self.mlp(n, layer))
        x = self.joined(x, self.attention(self.norm(x, f"{at}.ln_1"), layer))
        return self.joined(x, self.mlp(self.norm(x, f"{at}.ln_2"), layer))

    def joined(self, x: SSAValue, branch: SSAValue) -> SSAValue:
        def scaled(at, x, y):
            factor = at.insert(arith.ConstantOp(FloatAttr(self.parts.factor, f32))).result
            return at.insert(arith.AddfOp(x, at.insert(arith.MulfOp(y, factor)).result)).result

        return self.map(scaled, x, branch)

    def linear(self, x, name, rows, bias=None):
        result = super().linear(x, name, rows, bias)
        if name != "lm_head" or not self.parts.cap:
            return result

        def capped(at, x):
            cap = at.insert(arith.ConstantOp(FloatAttr(self.parts.cap, f32))).result
            bent = at.insert(math.TanhOp(at.insert(arith.DivfOp(x, cap)).result)).result
            return at.insert(arith.MulfOp(bent, cap)).result

        return self.map(capped, result)


@st.composite
def decoders(draw: st.DrawFn) -> tuple[Decoder, Parts]:
    head = draw(st.sampled_from([8, 12, 16, 20, 24, 33, 40, 80]))
    kv_heads = draw(st.integers(1, 3))
    windows = draw(st.sampled_from([(0,), (5,), (3, 0)]))
    shape = Decoder(
        layers=draw(st.integers(1, 2)),
        hidden=draw(st.sampled_from([24, 32, 45, 64])),
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        head=head,
        ffn=draw(st.sampled_from([16, 50, 96])),
        vocabulary=draw(st.integers(3, 70)),
        windows=windows,
        format="f32",
    )
    flag = st.booleans()
    parts = Parts(
        norm_kind=draw(st.sampled_from(["rms", "layer"])),
        weighted=draw(flag),
        head_norm=draw(st.sampled_from(["", "head", "feature", "row"])),
        biased=draw(flag),
        rotary=2 * draw(st.integers(0, head // 2)),
        style=draw(st.sampled_from(["halves", "pairs"])),
        learned=draw(flag),
        softcap=draw(st.sampled_from([0.0, 2.0])),
        sloped=draw(flag),
        sinks=draw(flag),
        parallel=draw(flag),
        gated=draw(flag),
        cap=draw(st.sampled_from([0.0, 1.5])),
        factor=draw(st.sampled_from([1.0, 0.22])),
        value_head=draw(st.sampled_from([head, 16, 21])),
    )
    return shape, parts


CHUNKS = ([6, 1, 6], [1] * 13)
CHECKS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=4, **CHECKS)
@given(drawn=decoders(), workers=st.integers(1, 3))
def test_random_shapes(drawn: tuple[Decoder, Parts], workers: int) -> None:
    check_native(Drawn(*drawn).module(), workers, CHUNKS)


@pytest.mark.slow
@settings(max_examples=100, **CHECKS)
@given(drawn=decoders(), workers=st.integers(1, 4))
def test_more_random_shapes(drawn: tuple[Decoder, Parts], workers: int) -> None:
    check_native(Drawn(*drawn).module(), workers, CHUNKS)
