"""Attention over a paged KV cache against softmax in float64; what is not valid is NaN."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from numpy.typing import NDArray

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attention import attention_share, merge_partials
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.cache import CacheLayout
from headrace.codegen.frame import Frame
from headrace.codegen.tile import I64, PTR, function
from tests.codegen.frames import FrameMemory
from tests.codegen.native import TARGETS, Kernel, Library, build

Floats = NDArray[np.float32]
LAYERS = 2
CONTEXT = 4 * KV_BLOCK


@dataclass(frozen=True)
class Case:
    """A lowering, a shape of attention, and workers that share it.

    softcap: 0 is none. slopes, sinks: whether the heads have them.
    """

    lowering: str
    workers: int
    heads: int
    kv_heads: int
    key_head: int
    value_head: int
    format: str
    softcap: float = 0.0
    slopes: bool = False
    sinks: bool = False

    @property
    def layout(self) -> CacheLayout:
        sizes = self.kv_heads, self.key_head, self.value_head
        return CacheLayout(LAYERS, *sizes, self.format)

    @property
    def shape(self) -> AttentionShape:
        special = self.softcap, self.head_slopes, self.sinks
        return AttentionShape(self.heads, self.key_head**-0.5, self.layout, *special)

    @property
    def head_slopes(self) -> tuple[float, ...]:
        """A slope for each head, as ALiBi has them for 8 heads."""
        return tuple(2.0 ** -(head + 1) for head in range(self.heads)) if self.slopes else ()


CASES = (
    Case("special", 1, 4, 2, 16, 16, "f16"),
    Case("special", 2, 9, 3, 64, 64, "f16"),
    Case("special", 3, 6, 6, 8, 8, "f32"),
    Case("special", 4, 5, 1, 24, 40, "f16"),
    Case("special", 2, 14, 2, 72, 72, "f32"),
    Case("plain", 2, 4, 2, 24, 16, "f16"),
    Case("plain", 1, 3, 1, 16, 24, "f32"),
    Case("special", 2, 4, 2, 20, 20, "f32", softcap=3.0),
    Case("special", 3, 6, 2, 80, 96, "f16", slopes=True),
    Case("special", 3, 7, 1, 112, 64, "f16", sinks=True),
    Case("special", 4, 8, 2, 12, 20, "f32", softcap=2.0, slopes=True, sinks=True),
    Case("plain", 2, 2, 2, 20, 12, "f16", softcap=2.0, slopes=True, sinks=True),
    Case("special", 2, 4, 1, 256, 256, "f16"),
)

#: The last one takes long to compile.
PARAMETERS = [*CASES[:-1], pytest.param(CASES[-1], marks=pytest.mark.slow)]


def kernels(case: Case) -> list[Kernel]:
    """Appending an entry, a worker's share of attention, and merging partial results."""

    def append(module: ir.Module, features: frozenset[str]) -> ir.Function:
        types = [PTR, I64, I64, I64, PTR, PTR]
        e, (base, layer, head, position, key, value) = function(module, "append", types, features)
        place = case.layout.head_place(Frame(e, base), e.i64(0), position, layer, head)
        case.layout.store_key(e, key, place, position)
        case.layout.store_value(e, value, place, position)
        e.give()
        return e.function

    return [
        append,
        lambda module, features: attention_share(module, features, case.shape, case.workers),
        lambda module, features: merge_partials(module, features, case.shape, case.workers),
    ]


@cache
def library(case: Case) -> Library:
    return build(TARGETS[case.lowering], *kernels(case))


class Sequence:
    """Keys and values of one sequence, in NumPy and in the cache of the kernels."""

    def __init__(self, case: Case, length: int, seed: int) -> None:
        self.case, self.length = case, length
        rng = np.random.default_rng(seed)
        self.keys = rng.standard_normal((LAYERS, length, case.kv_heads, case.key_head))
        self.values = rng.standard_normal((LAYERS, length, case.kv_heads, case.value_head))
        self.rng = rng
        self.sinks = (4 * rng.standard_normal(case.heads)).astype(np.float32)
        # All bits set is NaN in both formats.
        self.cache = np.full(CONTEXT // KV_BLOCK * case.layout.block_bytes, 0xFF, np.uint8)
        self.blocks = rng.permutation(CONTEXT // KV_BLOCK).astype(np.int32)
        self.frame = FrameMemory(cache=self.cache, block_table=self.blocks)
        self._round()
        self._append()

    def _round(self) -> None:
        kind = np.float16 if self.case.format == "f16" else np.float32
        self.keys = self.keys.astype(kind).astype(np.float32)
        self.values = self.values.astype(kind).astype(np.float32)

    def _append(self) -> None:
        for layer, position, head in np.ndindex(LAYERS, self.length, self.case.kv_heads):
            own = layer, position, head
            call = self.frame.array, layer, head, position
            library(self.case).call("append", *call, self.keys[own], self.values[own])

    def attend(self, first: int, layer: int, window: int) -> tuple[Floats, Floats]:
        """Queries of the positions from `first` on, and what the kernels make of them."""
        case, shape = self.case, self.case.shape
        tokens = self.length - first
        query = self.rng.standard_normal((tokens, case.heads, case.key_head)).astype(np.float32)
        stored = np.full((tokens, shape.query_stride), np.nan, np.float32)
        stored[:, : case.heads * case.key_head] = query.reshape(tokens, -1)
        positions = np.arange(first, self.length, dtype=np.int32)
        slots = np.zeros(tokens, np.int32)
        self.frame.set(tokens=tokens, positions=positions, slots=slots)
        partial = tokens == 1
        floats = case.workers * shape.partial_floats if partial else tokens * shape.result_features
        out = np.full(floats, np.nan, np.float32)
        for worker in range(case.workers):
            self.frame.set(worker=worker)
            call = self.frame.array, layer, window, stored, out, *[self.sinks] * case.sinks
            library(case).call(f"attention_{shape.suffix}", *call)
        if partial:
            row = np.full(shape.result_features, np.nan, np.float32)
            library(case).call(f"merge_{shape.suffix}", out, row)
            out = row
        return query, out.reshape(tokens, case.heads, case.value_head)

    def expected(self, query: Floats, first: int, layer: int, window: int) -> NDArray[np.float64]:
        """Softmax attention in float64."""
        case = self.case
        group = case.heads // case.kv_heads
        keys = np.repeat(self.keys[layer], group, axis=1).astype(np.float64)
        values = np.repeat(self.values[layer], group, axis=1).astype(np.float64)
        scores = np.einsum("thf,phf->htp", query.astype(np.float64), keys) * case.key_head**-0.5
        token, position = np.arange(first, self.length)[:, None], np.arange(self.length)
        if case.softcap:
            scores = case.softcap * np.tanh(scores / case.softcap)
        if case.slopes:
            scores += np.array(case.head_slopes)[:, None, None] * (position - token)
        hidden = position > token
        if window:
            hidden |= position <= token - window
        scores = np.where(hidden, -np.inf, scores)
        if case.sinks:
            sinks = np.broadcast_to(self.sinks[:, None, None], (*scores.shape[:2], 1))
            scores = np.concatenate([scores, sinks], axis=-1)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return np.einsum("htp,phf->thf", weights[..., : self.length], values)


def check(case: Case, length: int, first: int, layer: int, window: int, seed: int) -> None:
    sequence = Sequence(case, length, seed)
    query, found = sequence.attend(first, layer, window)
    expected = sequence.expected(query, first, layer, window)
    # Scores of size up to 6 are off by some 2^-22; results are means of values of size up to 4.
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("case", PARAMETERS, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    length=st.integers(1, CONTEXT),
    layer=st.integers(0, LAYERS - 1),
    window=st.sampled_from([0, 1, 7, 64, 100]),
    seed=st.integers(0, 2**32),
)
def test_one_token(case: Case, length: int, layer: int, window: int, seed: int) -> None:
    check(case, length, length - 1, layer, window, seed)


@pytest.mark.parametrize("case", PARAMETERS, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    first=st.integers(0, CONTEXT - 40),
    tokens=st.integers(2, 40),
    layer=st.integers(0, LAYERS - 1),
    window=st.sampled_from([0, 1, 7, 64, 100]),
    seed=st.integers(0, 2**32),
)
def test_many_tokens(
    case: Case, first: int, tokens: int, layer: int, window: int, seed: int
) -> None:
    check(case, first + tokens, first, layer, window, seed)


@pytest.mark.parametrize("case", CASES[:4], ids=str)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 63, 64, 65, 128, 129, CONTEXT])
def test_lengths_at_the_edges_of_groups_and_blocks(case: Case, length: int) -> None:
    check(case, length, length - 1, 0, 0, length)
    if length > 1:
        check(case, length, 0, 1, 16, length)


def test_large_scores_do_not_overflow() -> None:
    case = CASES[0]
    sequence = Sequence(case, 80, 0)
    sequence.keys *= 1000
    sequence._round()
    sequence._append()
    query, found = sequence.attend(79, 0, 0)
    assert np.abs(found - sequence.expected(query, 79, 0, 0)).max() <= 1e-3
