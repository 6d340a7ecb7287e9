"""One sequence at a time: a request becomes schedules of many steps each."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headrace.engine.generation import Generation, Record
from headrace.engine.prompt import check_tokens
from headrace.engine.request import Request
from headrace.errors import RequestError
from headrace.runtime.program import Program
from headrace.runtime.schedule import Sampling, Schedule

FIRST_STEPS = 8  # the first words appear early
STEPS = 32  # the gain of longer schedules flattens near 20
POLL_SECONDS = 0.015  # the host may share a core with a worker
NO_ROWS = np.empty(0, np.int32)


class Engine:
    """Runs requests on a loaded program, one after another; see `Generation`."""

    def __init__(self, program: Program, stops: Sequence[int] = ()) -> None:
        self.program = program
        self._stops = tuple(stops)
        self._busy = threading.Lock()

    @property
    def vocabulary(self) -> int:
        return self.program.manifest.vocabulary

    def generate(self, prompt: Sequence[int], request: Request) -> Generation[int]:
        """The tokens that follow `prompt`, without the stop token.

        It ends at a stop token, after `max_tokens`, or where the context ends ("length").

        Raises:
            RequestError: a token is not in the vocabulary.
            ContextLengthError: the prompt is longer than the context.
        """
        tokens = check_tokens(prompt, self.vocabulary, self.program.context)
        record = Record(len(tokens))
        return Generation(self._generate(tokens, request, record), record)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each token, `[T, vocabulary]`.

        Raises: as `generate`.
        """
        tokens = check_tokens(ids, self.vocabulary, self.program.context)
        result = np.empty((len(tokens), self.vocabulary), np.float32)
        with self._alone():
            rows = self.program.manifest.max_outputs
            for start in range(0, len(tokens), rows):
                chunk = tokens[start : start + rows]
                outputs = np.arange(len(chunk), dtype=np.int32)
                self._finish(Schedule(chunk, start, outputs, 0, Sampling(), ()))
                result[start : start + rows] = self.program.logits()
        return result

    def _generate(
        self, prompt: NDArray[np.int32], request: Request, record: Record
    ) -> Generator[int, None, None]:
        with self._alone():
            calls = self.program.host_calls
            record.start()
            record.finish_reason = "cancelled"  # unless it comes to an end of its own
            try:
                record.finish_reason = yield from self._schedules(prompt, request, record)
            finally:
                record.host_calls = self.program.host_calls - calls

    def _schedules(
        self, prompt: NDArray[np.int32], request: Request, record: Record
    ) -> Generator[int, None, Literal["stop", "length"]]:
        sampling = request.sampling(self.vocabulary)
        left = min(request.max_tokens, self.program.context - len(prompt) + 1)
        start = self._prefill(prompt, sampling)
        tokens, steps = prompt[start:], FIRST_STEPS
        while left > 0:
            last = np.array([len(tokens) - 1], np.int32)
            schedule = Schedule(tokens, start, last, min(steps, left), sampling, self._stops)
            produced = yield from self._follow(schedule, record)
            if produced[-1] in self._stops:
                return "stop"
            left -= len(produced)
            start += len(tokens) + len(produced) - 1
            tokens, steps = np.array(produced[-1:], np.int32), STEPS
        return "length"

    def _prefill(self, prompt: NDArray[np.int32], sampling: Sampling) -> int:
        """Run all chunks of a prompt but the last one; gives the position where that starts."""
        chunk = self.program.manifest.max_tokens
        last = (len(prompt) - 1) // chunk * chunk
        for start in range(0, last, chunk):
            self._finish(Schedule(prompt[start : start + chunk], start, NO_ROWS, 0, sampling, ()))
        return last

    def _follow(self, schedule: Schedule, record: Record) -> Generator[int, None, list[int]]:
        """Give the tokens of a schedule while it runs; returns all, the stop token included."""
        produced: list[int] = []
        with self._submitted(schedule):
            finished = False
            while not finished:
                finished = self.program.wait(POLL_SECONDS)
                fresh = self.program.poll()
                produced += fresh
                if fresh:
                    record.saw(len(fresh))
                for token in fresh:
                    if token not in self._stops:
                        record.generated += 1
                        yield token
        return produced

    def _finish(self, schedule: Schedule) -> None:
        with self._submitted(schedule):
            while not self.program.wait(POLL_SECONDS):
                pass

    @contextmanager
    def _submitted(self, schedule: Schedule) -> Generator[None]:
        """Submit; whatever interrupts the block, the native program rests when it is left.

        A second Ctrl-C may come while the first lets the program end: the next request waits.
        """
        self._rest()
        self.program.submit(schedule)
        try:
            yield
        finally:
            self._rest()
            self.program.poll()

    def _rest(self) -> None:
        if not self.program.finished:
            self.program.cancel()
            self.program.wait()

    @contextmanager
    def _alone(self) -> Generator[None]:
        if not self._busy.acquire(blocking=False):
            raise RequestError(
                "this model is still busy with another request",
                hint="read that one to its end or close it; or load the model a second time",
            )
        try:
            yield
        finally:
            self._busy.release()
