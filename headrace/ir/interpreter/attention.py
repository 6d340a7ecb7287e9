"""Softmax attention in parts: what each share of the KV entries contributes, and the merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.ir.interpreter.arrays import Floats


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


def attend(query: Floats, keys: Floats, values: Floats, scale: float) -> tuple[Floats, ...]:
    """One token's (largest, total, output) over at least one entry.

    query is [heads, head]; keys and values are [entries, kv heads, head] with heads a multiple
    of kv heads: query head h uses KV head h * kv_heads // heads.
    """
    kv_heads = keys.shape[1]
    grouped = query.reshape(kv_heads, -1, query.shape[-1])
    scores = np.einsum("kgd,nkd->kgn", grouped, keys) * np.float32(scale)
    largest = scores.max(axis=-1)
    weights = np.exp(scores - largest[..., None])
    output = np.einsum("kgn,nkd->kgd", weights, values)
    heads = query.shape[0]
    return largest.reshape(heads), weights.sum(axis=-1).reshape(heads), output.reshape(heads, -1)


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
