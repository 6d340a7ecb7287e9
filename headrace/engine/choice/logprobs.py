"""Log-probabilities of tokens: the log-softmax of the model's own logits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from headrace.engine.choice.largest import kth_largest


def log_total(logits: NDArray[np.float32]) -> float:
    """The logarithm of the sum of all exponentials of logits f32 `[V]`."""
    largest = logits.max()
    return float(largest) + math.log(float(np.exp(logits - largest).sum()))


def likeliest(logits: NDArray[np.float32], count: int, total: float) -> list[tuple[int, float]]:
    """The `count` likeliest tokens with their log-probabilities, the likeliest first.

    Among equals the lower token comes first. total: `log_total`.
    """
    if count == 0:
        return []
    count = min(count, logits.size)
    tokens = np.flatnonzero(logits >= kth_largest(logits, count))
    order = np.argsort(-logits[tokens], kind="stable")[:count]
    return [(int(token), float(logits[token]) - total) for token in tokens[order]]
