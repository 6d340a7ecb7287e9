"""Sequences in a paged KV cache, and steps of the attention kernels over some of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attention import attention_share, merge_partials
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.cache import CacheLayout
from headrace.codegen.frame import Frame
from headrace.codegen.tile import I64, PTR, function
from headrace.formats.entries import round_entries
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


def kernels(case: Case) -> list[Kernel]:
    """Appending an entry, a worker's share of attention, and merging partial results."""

    def append(module: ir.Module, features: frozenset[str]) -> ir.Function:
        types = [PTR, *[I64] * 4, PTR, PTR]
        e, args = function(module, "append", types, features)
        base, slot, layer, head, position, key, value = args
        place = case.layout.head_place(Frame(e, base), slot, position, layer, head)
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


#: Some rows of a step: whose, the first position, how many.
Segment = tuple[int, int, int]


class Sequences:
    """Keys, values and queries of sequences, in NumPy and in the cache of the kernels.

    lengths: entries of each sequence; what lies beyond them in the cache is NaN.
    """

    def __init__(self, case: Case, lengths: Sequence[int], seed: int) -> None:
        self.case, self.lengths = case, lengths
        rng = np.random.default_rng(seed)
        most, count = max(lengths), len(lengths)
        self.keys = rng.standard_normal((count, LAYERS, most, case.kv_heads, case.key_head))
        self.values = rng.standard_normal((count, LAYERS, most, case.kv_heads, case.value_head))
        self.queries = rng.standard_normal((count, most, case.heads, case.key_head))
        self.sinks = (4 * rng.standard_normal(case.heads)).astype(np.float32)
        # All bits set is NaN in every format of numbers, and of scales.
        blocks = count * (CONTEXT // KV_BLOCK)
        self.cache = np.full(blocks * case.layout.block_bytes, 0xFF, np.uint8)
        table = rng.permutation(blocks).astype(np.int32)
        stride = CONTEXT // KV_BLOCK
        self.frame = FrameMemory(cache=self.cache, block_table=table, table_stride=stride)
        self.claimed = [0] * case.workers
        self.round()

    def round(self) -> None:
        """Round keys and values to the format of the cache, and append them."""
        case = self.case
        exact = [array.astype(np.float32) for array in (self.keys, self.values)]
        self.keys, self.values = (round_entries(array, case.format) for array in exact)
        for slot, length in enumerate(self.lengths):
            for layer, position, head in np.ndindex(LAYERS, length, case.kv_heads):
                own = slot, layer, position, head
                call = self.frame, slot, layer, head, position
                library(case).call("append", *call, exact[0][own], exact[1][own])

    def step(self, segments: Sequence[Segment], layer: int, window: int) -> Floats:
        """What the workers make of a step's rows, all at the same time: [T, heads, value head]."""
        case, shape = self.case, self.case.shape
        ranges = [np.arange(first, first + count) for _, first, count in segments]
        slots = np.repeat([slot for slot, _, _ in segments], [len(each) for each in ranges])
        positions, tokens = np.concatenate(ranges), len(slots)
        stored = np.full((tokens, shape.query_stride), np.nan, np.float32)
        query = self.queries[slots, positions].reshape(tokens, -1)
        stored[:, : query.shape[1]] = query
        self.frame.set(
            tokens=tokens,
            positions=positions.astype(np.int32),
            slots=slots.astype(np.int32),
            segments=np.cumsum([0, *map(len, ranges)]).astype(np.int32),
            segment_count=len(segments),
        )
        partial = tokens == 1
        floats = case.workers * shape.partial_floats if partial else tokens * shape.result_features
        out = np.full(floats, np.nan, np.float32)
        self._run(layer, window, stored, out)
        if partial:
            row = np.full(shape.result_features, np.nan, np.float32)
            library(case).call(f"merge_{shape.suffix}", out, row)
            out = row
        return out.reshape(tokens, case.heads, case.value_head)

    def _run(self, layer: int, window: int, query: Floats, out: Floats) -> None:
        """Every worker's share, in threads with frames of their own."""
        case = self.case

        def share(worker: int) -> None:
            frame = self.frame.copy()
            frame.set(worker=worker, claim_base=self.claimed[worker])
            call = frame, layer, window, query, out, *[self.sinks] * case.sinks
            library(case).call(f"attention_{case.shape.suffix}", *call)
            self.claimed[worker] = frame.get("claim_base")

        with ThreadPoolExecutor(case.workers) as pool:
            list(pool.map(share, range(case.workers)))
        assert self.claimed == [int(self.frame.control[abi.word("claims")])] * case.workers

    def expected(self, segment: Segment, layer: int, window: int) -> NDArray[np.float64]:
        """Softmax attention of one segment in float64."""
        case = self.case
        slot, first, count = segment
        end = first + count
        group = case.heads // case.kv_heads
        keys = np.repeat(self.keys[slot, layer, :end], group, axis=1).astype(np.float64)
        values = np.repeat(self.values[slot, layer, :end], group, axis=1).astype(np.float64)
        query = self.queries[slot, first:end].astype(np.float32).astype(np.float64)
        scores = np.einsum("thf,phf->htp", query, keys) * case.key_head**-0.5
        token, position = np.arange(first, end)[:, None], np.arange(end)
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
        return np.einsum("htp,phf->thf", weights[..., :end], values)
