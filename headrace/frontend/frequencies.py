"""Finds the rotary table behind cosines and sines that PyTorch computed.

How a model makes them does not matter: the numbers are a rotary table if and only if they equal
`scale * cos(position * frequency)` and `scale * sin(...)` at every position looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

#: cos, its product with the scale, and PyTorch's own cosine are each within one unit in the last
#: place (2^-23 of a magnitude of at most one); the fourth is a margin.
TOLERANCE = 4 * 2.0**-23
#: Largest correction tried, in units in the last place, after the frequency has been measured.
NEIGHBOURS = 2

Reals = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frequencies:
    """`angle = position * values[i]`, the product rounded to float32; `scale` times cos and sin."""

    values: tuple[float, ...]
    scale: float
    long: Long | None = None

    def with_long(self, beyond: int, other: Frequencies) -> Frequencies:
        """These, and others for a context of more than `beyond` positions."""
        return replace(self, long=Long(beyond, other.values, other.scale))


@dataclass(frozen=True, slots=True)
class Long:
    """What holds for all positions if the context is larger than `beyond`."""

    beyond: int
    values: tuple[float, ...]
    scale: float


def fit_frequencies(positions: NDArray[np.int64], cos: Reals, sin: Reals) -> Frequencies | None:
    """The table with these cosines and sines, or None if there is none within `TOLERANCE`.

    Args:
        positions: [n], increasing, beginning 0, 1 and holding the powers of two up to its end.
        cos, sin: [n, pairs].
    """
    scale = cos[0, 0]
    if scale <= 0 or (cos[0] != scale).any() or (sin[0] != 0).any():
        return None
    measured = _measure(positions, np.arctan2(sin.astype(float), cos.astype(float)))
    best = _closest(positions, cos / scale, sin / scale, measured)
    angles = positions.astype(np.float32)[:, None] * best
    error = max(
        np.abs(np.cos(angles) * scale - cos).max(), np.abs(np.sin(angles) * scale - sin).max()
    )
    if error > TOLERANCE * scale:
        return None
    return Frequencies(tuple(float(value) for value in best), float(scale))


def _measure(positions: NDArray[np.int64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequencies from wrapped angles [n, pairs].

    The angle at position 1 gives each to about 2^-24; every doubling of the position unwraps the
    next angle by the estimate so far and halves the error. A power of two times a float32 is exact.
    """
    frequencies = angles[1]
    for position, wrapped in zip(positions[2:], angles[2:], strict=True):
        if position & (position - 1) == 0:
            expected = position * frequencies
            error = np.remainder(wrapped - expected + np.pi, 2 * np.pi) - np.pi
            frequencies = (expected + error) / position
    return frequencies


def _closest(
    positions: NDArray[np.int64], cos: Reals, sin: Reals, measured: NDArray[np.float64]
) -> Reals:
    """Of the float32 numbers next to those measured, the ones that give the table best."""
    best = measured.astype(np.float32)
    least = np.full(best.shape, np.inf)
    nearest = best
    for steps in sorted(range(-NEIGHBOURS, NEIGHBOURS + 1), key=abs):
        candidate = nearest + np.float32(steps) * np.spacing(nearest)
        angles = positions.astype(np.float32)[:, None] * candidate
        error = (np.cos(angles) - cos) ** 2 + (np.sin(angles) - sin) ** 2
        total = error.sum(axis=0, dtype=np.float64)
        best = np.where(total < least, candidate, best)
        least = np.minimum(total, least)
    return best
