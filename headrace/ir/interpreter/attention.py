"""Softmax attention in parts: what each share of the KV entries contributes, and the merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headrace.ir.interpreter.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class Partial:
    """Softmax attention over some of the entries, before the division.

    largest: [T, heads], the largest score, -inf where there was no entry.
    total: [T, heads], the sum of exp(score - largest).
    output: [T, heads, value head], the values weighted by exp(score - largest).
    """

    largest: Floats
    total: Floats
    output: Floats

    @classmethod
    def empty(cls, tokens: int, heads: int, value_head: int) -> Partial:
        return cls(
            np.full((tokens, heads), -np.inf, np.float32),
            np.zeros((tokens, heads), np.float32),
            np.zeros((tokens, heads, value_head), np.float32),
        )

    def packed(self) -> Floats:
        """[T, heads, 2 + value head]: largest, total and output in one array."""
        ends = np.stack([self.largest, self.total], axis=-1)
        return np.concatenate([ends, self.output], axis=-1)

    @classmethod
    def unpacked(cls, packed: Floats) -> Partial:
        return cls(packed[..., 0], packed[..., 1], packed[..., 2:])


@dataclass(frozen=True, slots=True)
class Scoring:
    """How some query heads score entries; see `AttentionOp`.

    slopes, sinks: [heads]; no slopes are zeros, no sinks -inf.
    """

    scale: float
    softcap: float
    slopes: Floats
    sinks: Floats

    def of_heads(self, heads: slice) -> Scoring:
        return replace(self, slopes=self.slopes[heads], sinks=self.sinks[heads])

    def scores(self, products: Floats, distances: Ints) -> Floats:
        """The scores from `q.k`, [heads, entries], and `p - position[t]`, [entries]."""
        scores = products * np.float32(self.scale)
        if self.softcap:
            scores = np.float32(self.softcap) * np.tanh(scores / np.float32(self.softcap))
        biased = scores + self.slopes[:, None] * distances.astype(np.float32)
        return biased.astype(np.float32, copy=False)


def attend(
    query: Floats, keys: Floats, values: Floats, distances: Ints, scoring: Scoring
) -> tuple[Floats, ...]:
    """One token's (largest, total, output) over at least one entry.

    query is [heads, head]; keys and values are [entries, kv heads, head] with heads a multiple
    of kv heads: query head h uses KV head h * kv_heads // heads. `distances` is [entries], the
    entry's position less the token's.
    """
    heads, kv_heads = len(query), keys.shape[1]
    grouped = query.reshape(kv_heads, -1, query.shape[-1])
    products = np.einsum("kgd,nkd->kgn", grouped, keys).reshape(heads, -1)
    scores = scoring.scores(products, distances)
    largest = np.maximum(scores.max(axis=-1), scoring.sinks)
    weights = np.exp(scores - largest[:, None])
    total = weights.sum(axis=-1) + np.exp(scoring.sinks - largest)
    output = np.einsum("kgn,nkd->kgd", weights.reshape(*grouped.shape[:2], -1), values)
    return largest, total, output.reshape(heads, -1)


def merge(partials: Sequence[Partial]) -> Floats:
    """The attention over all shares together. Source: Milakov and Gimelshein 2018."""
    largest = np.max([partial.largest for partial in partials], axis=0)
    total = np.zeros_like(largest)
    output = np.zeros_like(partials[0].output)
    for partial in partials:
        factor = np.exp(partial.largest - largest)
        total += factor * partial.total
        output += factor[..., None] * partial.output
    return output / total[..., None]
