"""Schedules on their way to the native program, and tokens on their way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.codegen import abi
from headrace.codegen.manifest import Manifest
from headrace.runtime.control import Control
from headrace.runtime.schedule import MAX_STEPS, Schedule, Segment


@dataclass(frozen=True, slots=True)
class Sampled:
    """A token that was generated for the sequence in a slot."""

    slot: int
    token: int


class Mailbox:
    """The arrays behind the control block's addresses. The host writes while nothing runs.

    Attributes:
        output_rows: rows of logits that the last schedule asked for.
    """

    def __init__(self, manifest: Manifest, control: Control) -> None:
        self._control = control
        tokens = manifest.max_tokens
        self._arrays = {
            "tokens": np.zeros(tokens, np.int32),
            "positions": np.zeros(tokens, np.int32),
            "slots": np.zeros(tokens, np.int32),
            "segments": np.zeros(tokens + 1, np.int32),
            "outputs": np.zeros(manifest.max_outputs, np.int32),
            "sampled": np.zeros(manifest.max_outputs, np.int32),
            "sequences": np.zeros((abi.MAX_SEQUENCES, abi.SEQUENCE_STRIDE), np.int64),
            "ring": np.zeros(MAX_STEPS * manifest.max_outputs, np.int64),
        }
        self._stops = np.zeros((abi.MAX_SEQUENCES, abi.MAX_STOPS), np.int32)
        self._read = 0
        self.output_rows = 0
        for name, array in self._arrays.items():
            control[name] = array.ctypes.data

    def write(self, schedule: Schedule) -> None:
        """Put a schedule where the workers look when they are told to run."""
        arrays, control = self._arrays, self._control
        row = output = 0
        for index, segment in enumerate(schedule.segments):
            end, last = row + len(segment.tokens), output + len(segment.outputs)
            arrays["tokens"][row:end] = segment.tokens
            arrays["positions"][row:end] = np.arange(segment.start, segment.start + end - row)
            arrays["slots"][row:end] = segment.slot
            arrays["outputs"][output:last] = segment.outputs + row
            arrays["segments"][index + 1] = end
            self._write_sequence(segment)
            row, output = end, last
        arrays["segments"][0] = 0
        control["segment_count"] = len(schedule.segments)
        control["token_count"] = row
        control["output_count"] = self.output_rows = output
        control["steps_left"] = schedule.steps
        control["sampling"] = int(schedule.steps > 0)
        control["until_end"] = int(schedule.until_end)
        self.reset()

    def _write_sequence(self, segment: Segment) -> None:
        sampling = segment.sampling
        words = self._arrays["sequences"][segment.slot]
        for name in ("temperature", "top_p", "min_p"):
            words.view(np.float64)[abi.SEQUENCE_WORDS[name]] = getattr(sampling, name)
        stops = self._stops[segment.slot]
        stops[: len(segment.stops)] = segment.stops
        for name, value in (
            ("top_k", sampling.top_k),
            ("seed", sampling.seed),
            ("stops", stops.ctypes.data),
            ("stop_count", len(segment.stops)),
            ("left", segment.limit),
        ):
            words[abi.SEQUENCE_WORDS[name]] = value

    def reset(self) -> None:
        """Forget the tokens of the last schedule, and that it was cancelled."""
        self._read = 0
        for name in ("cancel", "ring_count", "go"):
            self._control[name] = 0

    def poll(self) -> list[Sampled]:
        """Tokens since the last poll, in the order in which they were sampled."""
        count = self._control["ring_count"]
        words: list[int] = self._arrays["ring"][self._read : count].tolist()
        self._read = count
        return [Sampled(word >> 32, word & 0xFFFFFFFF) for word in words]
