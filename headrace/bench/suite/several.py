"""Our side of the workloads of several sequences."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.bench.batch import decode_batch, decode_mixed
from headrace.bench.kv import step_kv_bytes, whole_entries
from headrace.bench.runner import Runner
from headrace.bench.suite.ours import Decode, Turn, Work, open_filled, plan_of
from headrace.bench.suite.workload import LONGEST_WAIT, ROOFLINE, STEP_RATIO, Workload
from headrace.build import Artifact
from headrace.runtime.program import Program

ARRIVING = (512, 512)


@dataclass(frozen=True, slots=True)
class Batch:
    """One sequence alone, then all together between two halves of their pure reads.

    Attributes:
        read_tokens: KV entries of all sequences.
    """

    alone: Decode
    program: Program
    workload: Workload
    read_tokens: int

    def run(self) -> Turn:
        work = self.workload
        half = (work.steps + 1) // 2
        one = self.alone.run().seconds
        before = self.program.sweep(half, self.read_tokens)
        seconds = decode_batch(self.program, work.sequences, work.context, work.steps)
        after = self.program.sweep(half, self.read_tokens)
        read = (before + after) * work.steps / (2 * half)
        figures = {STEP_RATIO: seconds / one, ROOFLINE: read / seconds}
        return Turn(seconds, work.steps * work.sequences, figures)


@dataclass(frozen=True, slots=True)
class Mixed:
    """Sequences that decode while prompts arrive; their tokens are counted."""

    program: Program
    workload: Workload

    def run(self) -> Turn:
        work = self.workload
        waits = decode_mixed(self.program, work.sequences, work.context, work.steps, ARRIVING)
        return Turn(waits.seconds, waits.tokens, {LONGEST_WAIT: waits.longest / waits.step})


@contextmanager
def batch_work(artifact: Artifact, workload: Workload) -> Generator[Work]:
    """Decoding all sequences of the workload together."""
    entries = whole_entries(artifact, step_kv_bytes(artifact, plan_of(workload)))
    with open_filled(artifact, workload.positions, workload.sequences) as program:
        alone = Decode(Runner(program), workload.context, workload.steps, entries)
        yield Batch(alone, program, workload, workload.sequences * entries)


@contextmanager
def mixed_work(artifact: Artifact, workload: Workload) -> Generator[Work]:
    """Decoding all sequences of the workload while prompts arrive."""
    room = workload.positions + sum(ARRIVING)
    with open_filled(artifact, room, workload.sequences + 1) as program:
        yield Mixed(program, workload)
