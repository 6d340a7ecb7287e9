"""Running loaded programs in tests: prompts, schedules, logits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.runtime.program import Program
from headrace.runtime.schedule import Sampling, Schedule

Floats = NDArray[np.float32]


def ids(count: int, vocabulary: int, seed: int = 0) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(0, vocabulary, count).astype(np.int32)


def indices(values: Iterable[int]) -> NDArray[np.int32]:
    return np.fromiter(values, np.int32)


def run(program: Program, schedule: Schedule) -> list[int]:
    """Run a schedule to its end; the tokens it gives."""
    program.submit(schedule)
    assert program.wait(60)
    return poll(program)


def poll(program: Program) -> list[int]:
    """Tokens of a program that runs one sequence."""
    return [each.token for each in program.poll()]


def logits(program: Program, tokens: NDArray[np.int32], chunks: Sequence[int]) -> Floats:
    """Logits of all tokens, fed in chunks of these sizes."""
    assert sum(chunks) == len(tokens)
    rows: list[Floats] = []
    start = 0
    for size in chunks:
        run(program, Schedule.of(tokens[start : start + size], start, indices(range(size))))
        rows.append(program.logits().copy())
        start += size
    return np.concatenate(rows)


def generate(
    program: Program,
    prompt: NDArray[np.int32],
    steps: int,
    sampling: Sampling | None = None,
    stops: tuple[int, ...] = (),
) -> list[int]:
    """Tokens after a prompt, in one schedule."""
    last = indices([len(prompt) - 1])
    return run(program, Schedule.of(prompt, 0, last, steps, sampling, stops))


def poison(program: Program) -> None:
    """Fill all memory that no one has written yet with NaN."""
    storage = program.storage
    for memory in (storage.shared, storage.cache, *storage.private):
        memory.view()[:] = 0xFF
