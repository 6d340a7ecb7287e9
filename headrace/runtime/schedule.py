"""What the host asks of the native program in one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from headrace.codegen.abi import KV_BLOCK, MAX_SEQUENCES, MAX_STOPS
from headrace.codegen.manifest import Manifest
from headrace.errors import ContextLengthError, RequestError

__all__ = [
    "KV_BLOCK",
    "MAX_SEQUENCES",
    "MAX_STEPS",
    "MAX_STOPS",
    "Sampling",
    "Schedule",
    "Segment",
    "check_schedule",
]

#: Most tokens that one schedule can generate for a sequence: the ring holds them all.
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
class Segment:
    """Consecutive tokens of one sequence, fed in the first step of a schedule.

    slot: the sequence's number, below MAX_SEQUENCES; its blocks are those of the slot.
    tokens: int32 `[T]`, at positions start .. start + T - 1.
    outputs: int32, the indices of those tokens whose logits are wanted; empty for the inner chunks
        of a prompt. To generate, it is the last index alone.
    limit: tokens to generate at most, where the schedule generates.
    stops: tokens after which generation ends (they are given to the host too).
    """

    slot: int
    tokens: NDArray[np.int32]
    start: int
    outputs: NDArray[np.int32]
    limit: int = MAX_STEPS
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Up to `steps` token steps of a batch of sequences (ScheduleOffloading).

    segments: of the first step, at most one a slot. Each sequence whose logits are wanted goes on
        by one token a step until it ends; the others wait for the next schedule.
    steps: steps at most; 0 computes logits only, in one step.
    until_end: whether the schedule ends with the first of its sequences.
    """

    segments: tuple[Segment, ...]
    steps: int = 0
    until_end: bool = False

    @classmethod
    def of(
        cls,
        tokens: NDArray[np.int32],
        start: int,
        outputs: NDArray[np.int32],
        steps: int = 0,
        sampling: Sampling | None = None,
        stops: tuple[int, ...] = (),
    ) -> Self:
        """A schedule of one sequence, in slot 0; see `Segment`."""
        limit = max(steps, 1)
        segment = Segment(0, tokens, start, outputs, limit, sampling or Sampling(), stops)
        return cls((segment,), steps)

    @property
    def tokens(self) -> int:
        """Tokens of the first step."""
        return sum(len(segment.tokens) for segment in self.segments)

    @property
    def outputs(self) -> int:
        """Rows of logits of the first step."""
        return sum(len(segment.outputs) for segment in self.segments)


def check_schedule(schedule: Schedule, manifest: Manifest, context: int) -> None:
    """Check a schedule against a program whose sequences have `context` positions at most.

    Raises:
        ContextLengthError: the tokens do not fit the context.
        RequestError: a count, a slot, a token or an output is out of range.
    """
    _within("tokens", schedule.tokens, 1, manifest.max_tokens)
    _within("outputs", schedule.outputs, int(schedule.steps > 0), manifest.max_outputs)
    _within("steps", schedule.steps, 0, MAX_STEPS)
    _require_slots(segment.slot for segment in schedule.segments)
    for segment in schedule.segments:
        _check_segment(segment, manifest, context, generates=schedule.steps > 0)


def _check_segment(segment: Segment, manifest: Manifest, context: int, *, generates: bool) -> None:
    end = segment.start + len(segment.tokens)
    if segment.start < 0 or end > context:
        raise ContextLengthError(
            f"positions {segment.start} to {end - 1} do not fit a context of {context}",
            hint="load the model with a larger context, or shorten the prompt",
        )
    _within("tokens", len(segment.tokens), 1, manifest.max_tokens)
    _within("stops", len(segment.stops), 0, MAX_STOPS)
    _within("tokens to generate", segment.limit, 1, 1 << 31)
    _require_indices("token ids", segment.tokens, manifest.vocabulary)
    _require_indices("outputs", segment.outputs, len(segment.tokens))
    if generates:
        _within("outputs of a sequence", len(segment.outputs), 0, 1)


def _require_slots(slots: Iterable[int]) -> None:
    seen: set[int] = set()
    for slot in slots:
        if not 0 <= slot < MAX_SEQUENCES or slot in seen:
            raise RequestError(
                f"slot {slot} is not one of 0 to {MAX_SEQUENCES - 1}, or has two segments"
            )
        seen.add(slot)


def _within(name: str, count: int, low: int, high: int) -> None:
    if not low <= count <= high:
        raise RequestError(f"a schedule takes {low} to {high} {name}, not {count}")


def _require_indices(name: str, values: NDArray[np.int32], count: int) -> None:
    if len(values) and not (int(values.min()) >= 0 and int(values.max()) < count):
        raise RequestError(f"{name} are 0 to {count - 1}")
