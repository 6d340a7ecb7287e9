"""Our side of the workloads of several sequences."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.bench.kv import step_kv_bytes, whole_entries
from headrace.bench.plan import Plan
from headrace.bench.programs import open_program
from headrace.bench.runner import Runner
from headrace.bench.suite.ours import Decode, Turn, Work, fill_cache, plan_of
from headrace.bench.suite.workload import LONGEST_WAIT, ROOFLINE, STEP_RATIO, Workload
from headrace.build import Artifact
from headrace.errors import RequestError
from headrace.runtime.program import Program


@dataclass(frozen=True, slots=True)
class Waits:
    """Sequences that decode while prompts arrive.

    Attributes:
        seconds: of the whole run. longest: that a sequence waited for its next token.
        step: of a step while nothing arrives.
    """

    seconds: float
    longest: float
    step: float


def decode_batch(program: Program, sequences: int, context: int, steps: int) -> float:
    """Seconds of `steps` steps of `sequences` sequences, each behind `context` entries of its own.

    Raises:
        RequestError: the program takes one sequence at a time.
    """
    raise RequestError(f"a program takes one sequence at a time, not {sequences}")


def decode_mixed(program: Program, sequences: int, context: int, steps: int, prompt: int) -> Waits:
    """As `decode_batch`, while prompts of `prompt` tokens arrive.

    Raises:
        RequestError: the program takes one sequence at a time.
    """
    raise RequestError(f"a program takes one sequence at a time, not {sequences} and prompts")


@dataclass(frozen=True, slots=True)
class Batch:
    """One sequence alone, then all together, between halves of their pure reads."""

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
        return Turn(seconds, {STEP_RATIO: seconds / one, ROOFLINE: read / seconds})


@dataclass(frozen=True, slots=True)
class Mixed:
    """Sequences that decode while prompts of 512 tokens arrive."""

    program: Program
    workload: Workload

    def run(self) -> Turn:
        work = self.workload
        waits = decode_mixed(self.program, work.sequences, work.context, work.steps, ARRIVING)
        return Turn(waits.seconds, {LONGEST_WAIT: waits.longest / waits.step})


ARRIVING = 512


@contextmanager
def batch_work(artifact: Artifact, workload: Workload) -> Generator[Work]:
    """Decoding all sequences of the workload together."""
    entries = whole_entries(artifact, step_kv_bytes(artifact, plan_of(workload)))
    with open_program(artifact, _room(workload, 0)) as program:
        fill_cache(program)
        alone = Decode(Runner(program), workload.context, workload.steps, entries)
        yield Batch(alone, program, workload, workload.sequences * entries)


@contextmanager
def mixed_work(artifact: Artifact, workload: Workload) -> Generator[Work]:
    """Decoding all sequences of the workload while prompts arrive."""
    with open_program(artifact, _room(workload, ARRIVING)) as program:
        fill_cache(program)
        yield Mixed(program, workload)


def _room(workload: Workload, prompt: int) -> Plan:
    """Positions of all sequences together."""
    return Plan(workload.sequences * workload.context + prompt, workload.sequences * workload.steps)
