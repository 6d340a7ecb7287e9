"""Sampling on the host, with the native sampler's meaning (`codegen/sampling.py`).

The same order (temperature, top_k, top_p, min_p), the same sets, the same random number for seed
and position. Weights differ from the native ones by rounding alone, so that tokens differ only
where a random number falls within that of a border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.engine.choice.largest import kth_largest
from headrace.engine.choice.nucleus import nucleus
from headrace.runtime.schedule import Sampling

Floats = NDArray[np.float32]

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))

#: Where less than this part of the tokens is kept, they are gathered.
_SPARSE = 8

#: A temperature whose inverse is no finite float32 leaves the likeliest token alone.
_COLDEST = float(np.finfo(np.float32).tiny)


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) from seed and position (splitmix64, Steele et al. 2014).

    position: of the token before the one that is drawn.
    """
    state = (seed + (position + 1) * _GOLDEN) & _WORD
    for shift, factor in _MIX:
        state = (state ^ (state >> shift)) * factor & _WORD
    state ^= state >> 31
    return (state >> 40) * 2.0**-24


def sample(logits: Floats, sampling: Sampling, position: int) -> int:
    """The index of a token drawn from logits f32 `[N]`, of which -inf are never drawn.

    position: of the token before.
    """
    likeliest = int(logits.argmax())
    if sampling.temperature <= _COLDEST:
        return likeliest
    factor = np.float32(1) / np.float32(sampling.temperature)
    weights = logits - logits[likeliest]
    weights *= factor
    np.exp(weights, out=weights)
    return _draw(weights, _threshold(weights, sampling), uniform(sampling.seed, position))


def _threshold(weights: Floats, sampling: Sampling) -> float:
    """The least weight that is kept."""
    threshold = 0.0
    if 0 < sampling.top_k < weights.size:
        threshold = float(kth_largest(weights, sampling.top_k))
    if sampling.top_p < 1:
        kept = weights[weights >= threshold] if threshold > 0 else weights
        threshold = max(threshold, nucleus(kept, sampling.top_p))
    return max(threshold, float(np.float32(sampling.min_p)))


def _draw(weights: Floats, threshold: float, share: float) -> int:
    """The first kept token at which the running sum passes a share of the whole."""
    kept = weights >= np.float32(threshold)
    if np.count_nonzero(kept) > weights.size // _SPARSE:
        return _passes(np.where(kept, weights, np.float32(0)), share)
    tokens = np.flatnonzero(kept)
    return int(tokens[_passes(weights[tokens], share)])


def _passes(weights: Floats, share: float) -> int:
    sums = np.cumsum(weights, dtype=np.float64)
    return int(np.searchsorted(sums, float(sums[-1]) * share, side="right"))
