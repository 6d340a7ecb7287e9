"""The likeliest tokens that together reach a share of the probability, without sorting all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: Weights above which the border is looked for first: few tokens have such.
_FLOORS = (2.0**-6, 2.0**-10, 2.0**-14)
#: So many weights are sorted.
_FEW = 2048
#: Bits of a float that do not tell its bucket: an octave has 32 buckets.
_FINE = 18


def nucleus(weights: Floats, share: float) -> float:
    """The largest threshold at which the kept ones of weights f32 `[N]` have a share of the sum.

    Weights are 0 to 1, and one is 1.
    """
    wanted = float(weights.sum()) * float(np.float32(share))
    some = _largest(weights, wanted)
    if some is None:
        some, wanted = _bucket(weights, wanted)
    descending = np.sort(some)[::-1]
    sums = np.cumsum(descending, dtype=np.float64)
    return float(descending[min(int(sums.searchsorted(wanted)), sums.size - 1)])


def _largest(weights: Floats, wanted: float) -> Floats | None:
    """The largest weights, which have what is wanted; None if they are many."""
    for floor in _FLOORS:
        kept = weights >= np.float32(floor)
        if np.count_nonzero(kept) > _FEW:
            return None
        some = weights[kept]
        if float(some.sum()) >= wanted:
            return some
    return None


def _bucket(weights: Floats, wanted: float) -> tuple[Floats, float]:
    """The weights of the bucket in which the border is, and what is wanted of their sum.

    Positive floats order as the integers of their bits.
    """
    keys = weights.view(np.int32) >> _FINE
    sums = np.bincount(keys, weights)[::-1].cumsum()
    place = min(int(sums.searchsorted(wanted)), sums.size - 1)
    above = float(sums[place - 1]) if place else 0.0
    return weights[keys == sums.size - 1 - place], wanted - above
