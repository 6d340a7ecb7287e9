"""Schedules on their way to the native program, and tokens on their way back."""

from __future__ import annotations

import numpy as np

from headrace.codegen import abi
from headrace.codegen.manifest import Manifest
from headrace.runtime.control import Control
from headrace.runtime.schedule import MAX_STEPS, Sampling, Schedule


class Mailbox:
    """The arrays behind the control block's addresses. The host writes while nothing runs.

    Attributes:
        output_rows: rows of logits that the last schedule asked for.
    """

    def __init__(self, manifest: Manifest, control: Control) -> None:
        self._control = control
        self._tokens = np.zeros(manifest.max_tokens, np.int32)
        self._positions = np.zeros(manifest.max_tokens, np.int32)
        self._slots = np.zeros(manifest.max_tokens, np.int32)
        self._segments = np.zeros(manifest.max_tokens + 1, np.int32)
        self._outputs = np.zeros(manifest.max_outputs, np.int32)
        self._stops = np.zeros(abi.MAX_STOPS, np.int32)
        self._ring = np.zeros(MAX_STEPS, np.int32)
        self._read = 0
        self.output_rows = 0
        control["tokens"] = self._tokens.ctypes.data
        control["positions"] = self._positions.ctypes.data
        control["slots"] = self._slots.ctypes.data
        control["segments"] = self._segments.ctypes.data
        control["outputs"] = self._outputs.ctypes.data
        control["stops"] = self._stops.ctypes.data
        control["ring"] = self._ring.ctypes.data

    def write(self, schedule: Schedule) -> None:
        """Put a schedule where the workers look when they are told to run."""
        count, outputs = len(schedule.tokens), len(schedule.outputs)
        self._tokens[:count] = schedule.tokens
        self._positions[:count] = np.arange(schedule.start, schedule.start + count)
        self._outputs[:outputs] = schedule.outputs
        self._stops[: len(schedule.stops)] = schedule.stops
        self._segments[1] = count
        self._control["segment_count"] = 1
        self._control["token_count"] = count
        self._control["output_count"] = self.output_rows = outputs
        self._control["max_steps"] = schedule.steps
        self._control["sampling"] = int(schedule.steps > 0)
        self._control["stop_count"] = len(schedule.stops)
        self._write_sampling(schedule.sampling)
        self.reset()

    def _write_sampling(self, sampling: Sampling) -> None:
        self._control.set_real("temperature", sampling.temperature)
        self._control.set_real("top_p", sampling.top_p)
        self._control.set_real("min_p", sampling.min_p)
        self._control["top_k"] = sampling.top_k
        self._control["seed"] = sampling.seed

    def reset(self) -> None:
        """Forget the tokens of the last schedule, and that it was cancelled."""
        self._read = 0
        for name in ("cancel", "ring_count", "go"):
            self._control[name] = 0

    def poll(self) -> list[int]:
        """Tokens since the last poll."""
        count = self._control["ring_count"]
        tokens: list[int] = self._ring[self._read : count].tolist()
        self._read = count
        return tokens
