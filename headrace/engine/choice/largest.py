"""The largest numbers of many, without ordering all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROWS = 64


def kth_largest(values: NDArray[np.float32], k: int) -> np.float32:
    """The k-th largest of f32 `[N]`, 1 <= k <= N; equal ones count each.

    The k-th largest maximum of disjoint groups is a bound: k values at least are not below it.
    """
    rows = min(_ROWS, values.size // k)
    if rows > 1:
        columns = values.size // rows
        maxima = values[: rows * columns].reshape(rows, columns).max(axis=0)
        values = values[values >= _kth(maxima, k)]
    return _kth(values, k)


def _kth(values: NDArray[np.float32], k: int) -> np.float32:
    place = values.size - k
    return np.partition(values, place)[place]
