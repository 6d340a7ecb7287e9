"""One program, one kind of work at a time, timed."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from headrace.engine.scheduler import STEPS
from headrace.errors import ContextLengthError
from headrace.runtime.program import Program
from headrace.runtime.schedule import Schedule

_NO_ROWS = np.empty(0, np.int32)


def prompt_tokens(count: int, vocabulary: int, number: int = 0) -> NDArray[np.int32]:
    """Tokens without meaning, `[count]`: the same for every engine, spread over the vocabulary.

    Prompts of different numbers have no token in common at any place.
    """
    spread = np.arange(count, dtype=np.int64) * 7919 + 13 + number
    return (spread % vocabulary).astype(np.int32)


class Runner:
    """Feeds a program prompts and lets it generate, in schedules as long as the engine's."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.vocabulary = program.manifest.vocabulary

    def require(self, tokens: int) -> None:
        """Raises ContextLengthError if that many positions do not fit the program's context."""
        if tokens > self.program.context:
            raise ContextLengthError(
                f"{tokens} tokens do not fit a context of {self.program.context}",
                where="--prompt and --decode",
                hint="ask for fewer tokens",
            )

    def prefill(self, count: int) -> float:
        """Seconds for a prompt of `count` tokens from an empty cache, to the last one's logits."""
        tokens, chunk = prompt_tokens(count, self.vocabulary), self.program.manifest.max_tokens
        begin = perf_counter()
        for start in range(0, count, chunk):
            part = tokens[start : start + chunk]
            last = start + chunk >= count
            rows = np.array([len(part) - 1], np.int32) if last else _NO_ROWS
            self._run(Schedule.of(part, start, rows))
        return perf_counter() - begin

    def decode(self, start: int, count: int) -> float:
        """Seconds for `count` tokens after the `start` that are in the cache."""
        token, done = prompt_tokens(1, self.vocabulary), 0
        begin = perf_counter()
        while done < count:
            steps = min(STEPS, count - done)
            self._run(Schedule.of(token, start + done, np.zeros(1, np.int32), steps))
            token = np.array([self.program.poll()[-1].token], np.int32)
            done += steps
        return perf_counter() - begin

    def sweep(self, passes: int, kv_tokens: int) -> float:
        """Seconds for `passes` pure reads of what a step at this KV length reads."""
        return self.program.sweep(passes, kv_tokens)

    def _run(self, schedule: Schedule) -> None:
        self.program.submit(schedule)
        self.program.wait()
