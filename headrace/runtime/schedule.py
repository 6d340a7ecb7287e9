"""What the host asks of the native program in one call."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    temperature: 0 takes the likeliest token. top_k: 0 is off. top_p: 1 is off. min_p: 0 is off.
    The same seed and position give the same random number.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Up to `steps` token steps of one sequence (ScheduleOffloading).

    tokens: int32 `[T]`, fed in the first step at positions start .. start + T - 1.
    outputs: int32, the indices of those tokens whose logits are wanted; empty for the inner chunks
        of a prompt. To generate, it is the last index alone.
    steps: tokens to generate at most; 0 computes logits only.
    stops: tokens after which generation ends (they are given to the host too).
    """

    tokens: NDArray[np.int32]
    start: int
    outputs: NDArray[np.int32]
    steps: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[int, ...] = ()
