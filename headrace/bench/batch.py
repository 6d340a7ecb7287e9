"""Several sequences of one program, timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from headrace.bench.runner import prompt_tokens
from headrace.engine.blocks import BlockPool, blocks_for
from headrace.engine.scheduler import STEPS, Scheduler
from headrace.engine.sequence import SequenceState
from headrace.runtime.program import Program
from headrace.runtime.schedule import Sampling, Schedule, Segment

_OUTPUT = np.zeros(1, np.int32)


@dataclass(frozen=True, slots=True)
class Waits:
    """Sequences that decode while prompts arrive.

    Attributes:
        seconds: from the arrival of the first prompt until the last one was answered.
        tokens: that the other sequences got meanwhile.
        longest: seconds that one of them waited for its next token.
        step: mean seconds of a step of theirs before.
    """

    seconds: float
    tokens: int
    longest: float
    step: float


def decode_batch(program: Program, sequences: int, context: int, steps: int) -> float:
    """Seconds of `steps` steps of `sequences` sequences, each behind `context` entries of its own.

    Schedules are as long as the engine's.
    """
    blocks = blocks_for(context + steps)
    for slot in range(sequences):
        program.set_blocks(slot, range(slot * blocks, (slot + 1) * blocks))
    tokens = prompt_tokens(sequences, program.manifest.vocabulary).tolist()
    begin, done = perf_counter(), 0
    while done < steps:
        count = min(STEPS, steps - done)
        segments = tuple(_segment(slot, each, context + done) for slot, each in enumerate(tokens))
        program.submit(Schedule(segments, count))
        program.wait()
        for sampled in program.poll():
            tokens[sampled.slot] = sampled.token
        done += count
    return perf_counter() - begin


def decode_mixed(
    program: Program, sequences: int, context: int, steps: int, prompts: Sequence[int]
) -> Waits:
    """As `decode_batch`, scheduled by the engine's scheduler, while prompts arrive.

    Each prompt comes when the one before was answered, with a few tokens.

    Args:
        steps: before the first prompt. prompts: their lengths.
    """
    vocabulary = program.manifest.vocabulary
    scheduler = Scheduler(BlockPool(program.storage.blocks), program.manifest.max_tokens)
    endless = program.context - context
    decoding = [_read(context, endless, vocabulary, number) for number in range(sequences)]
    for sequence in decoding:
        scheduler.add(sequence)
    times: list[float] = []
    while len(times) < steps:
        times += _advance(program, scheduler, decoding[0])
    before = len(times)
    for number, length in enumerate(prompts):
        tokens = prompt_tokens(length, vocabulary, sequences + number)
        arriving = SequenceState(tokens, _ANSWER, Sampling(), ())
        scheduler.add(arriving)
        while arriving.finish_reason is None:
            times += _advance(program, scheduler, decoding[0])
    gaps = np.diff(times)
    return Waits(
        seconds=times[-1] - times[before - 1],
        tokens=(len(times) - before) * sequences,
        longest=float(gaps[before - 1 :].max()),
        step=(times[before - 1] - times[0]) / (before - 1),
    )


_ANSWER = 4  # tokens of the answer to a prompt that arrived
_LOOK_S = 0.0005  # far less than a step, and too rare to disturb the workers


def _segment(slot: int, token: int, start: int) -> Segment:
    return Segment(slot, np.array([token], np.int32), start, _OUTPUT)


def _read(context: int, limit: int, vocabulary: int, number: int) -> SequenceState:
    """A sequence of whose prompt all but the last token is in the KV cache."""
    tokens = prompt_tokens(context + 1, vocabulary, number)
    return SequenceState(tokens, limit, Sampling(), (), fed=context)


def _advance(program: Program, scheduler: Scheduler, watched: SequenceState) -> list[float]:
    """Run the next schedule; the moments when a sequence got its tokens."""
    schedule = scheduler.next()
    assert schedule is not None
    for sequence in scheduler.places.settle():
        program.set_blocks(sequence.slot, sequence.blocks)
    program.submit(schedule)
    times: list[float] = []
    finished = False
    while not finished:
        finished = program.wait(_LOOK_S)
        taken = [scheduler.take(sampled) for sampled in program.poll()]
        times += [perf_counter()] * taken.count(watched)
    scheduler.finish()
    return times
