"""What the host asks of the native program in one call."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.codegen.abi import MAX_STOPS
from headrace.codegen.manifest import Manifest
from headrace.errors import ContextLengthError, RequestError

#: Most tokens that one schedule can generate: the ring holds them all.
MAX_STEPS = 4096


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


def check_schedule(schedule: Schedule, manifest: Manifest, context: int) -> None:
    """Check a schedule against a program with a KV capacity of `context` tokens.

    Raises:
        ContextLengthError: the tokens do not fit the KV capacity.
        RequestError: a count, a token or an output is out of range.
    """
    end = schedule.start + len(schedule.tokens)
    if schedule.start < 0 or end > context:
        raise ContextLengthError(
            f"positions {schedule.start} to {end - 1} do not fit a context of {context}",
            hint="load the model with a larger context, or shorten the prompt",
        )
    least_outputs = int(schedule.steps > 0)
    most_outputs = 1 if schedule.steps > 0 else manifest.max_outputs
    _within("tokens", len(schedule.tokens), 1, manifest.max_tokens)
    _within("outputs", len(schedule.outputs), least_outputs, most_outputs)
    _within("steps", schedule.steps, 0, MAX_STEPS)
    _within("stops", len(schedule.stops), 0, MAX_STOPS)
    _require_indices("token ids", schedule.tokens, manifest.vocabulary)
    _require_indices("outputs", schedule.outputs, len(schedule.tokens))


def _within(name: str, count: int, low: int, high: int) -> None:
    if not low <= count <= high:
        raise RequestError(f"a schedule takes {low} to {high} {name}, not {count}")


def _require_indices(name: str, values: NDArray[np.int32], count: int) -> None:
    if len(values) and not (int(values.min()) >= 0 and int(values.max()) < count):
        raise RequestError(f"{name} are 0 to {count - 1}")
