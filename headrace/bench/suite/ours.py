"""Our side of the workloads of one sequence: what one timed run is."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from headrace.bench.kv import step_kv_bytes, whole_entries
from headrace.bench.plan import Plan
from headrace.bench.runner import Runner
from headrace.bench.suite.workload import ROOFLINE, SPEED_KEPT, Workload
from headrace.build import Artifact, Options, build
from headrace.checkpoint.progress import Progress
from headrace.codegen.abi import KV_BLOCK
from headrace.engine.blocks import blocks_for
from headrace.machine import probe_host
from headrace.runtime.program import Program

#: A byte that makes a small finite number of a KV entry in any format (bfloat16: 0.0115).
ENTRY_BYTE = 0x3C


@dataclass(frozen=True, slots=True)
class Turn:
    """One timed run: its seconds, the tokens of all sequences, and figures of its own."""

    seconds: float
    tokens: int
    figures: Mapping[str, float] = field(default_factory=dict[str, float])


class Work(Protocol):
    """A workload of ours, ready to run again and again."""

    def run(self) -> Turn: ...


@dataclass(frozen=True, slots=True)
class Decode:
    """Steps of one sequence between two halves of their pure reads.

    Attributes:
        read_tokens: KV entries that a pure read takes beside the weights.
    """

    runner: Runner
    context: int
    steps: int
    read_tokens: int

    def run(self) -> Turn:
        half = (self.steps + 1) // 2
        before = self.runner.sweep(half, self.read_tokens)
        seconds = self.runner.decode(self.context, self.steps)
        after = self.runner.sweep(half, self.read_tokens)
        read = (before + after) * self.steps / (2 * half)
        return Turn(seconds, self.steps, {ROOFLINE: read / seconds})


@dataclass(frozen=True, slots=True)
class Oversubscribed:
    """Steps with a thread a core, then with twice as many; the latter count."""

    fitting: Runner
    doubled: Runner
    context: int
    steps: int

    def run(self) -> Turn:
        fitting = self.fitting.decode(self.context, self.steps)
        doubled = self.doubled.decode(self.context, self.steps)
        return Turn(doubled, self.steps, {SPEED_KEPT: fitting / doubled})


def plan_of(workload: Workload) -> Plan:
    """The room that one sequence needs."""
    return Plan(workload.context, workload.steps)


@contextmanager
def open_filled(artifact: Artifact, positions: int, sequences: int = 1) -> Generator[Program]:
    """A program whose KV entries are all numbers, so that decoding may begin at any position.

    No step's time depends on their values; but memory that was never written would be one page
    of zeros, and reading it no reading of memory.

    Args:
        positions: of each sequence.
    """
    manifest = artifact.manifest
    cpus = probe_host().worker_cpus(manifest.workers)
    whole = blocks_for(positions) * KV_BLOCK
    with Program(
        manifest,
        artifact.code,
        artifact.packed,
        context=positions,
        kv_tokens=sequences * whole,
        cpus=cpus,
    ) as program:
        program.storage.cache.view()[:] = ENTRY_BYTE
        yield program


@contextmanager
def decode_work(artifact: Artifact, workload: Workload) -> Generator[Work]:
    """Decoding after `context` tokens that are in the cache without having been computed."""
    entries = whole_entries(artifact, step_kv_bytes(artifact, plan_of(workload)))
    with open_filled(artifact, workload.positions) as program:
        yield Decode(Runner(program), workload.context, workload.steps, entries)


@contextmanager
def threads_work(
    artifact: Artifact, workload: Workload, options: Options, progress: Progress
) -> Generator[Work]:
    """Decoding with twice as many workers as `options` names."""
    more = build(workload.model, replace(options, workers=2 * options.workers), progress)
    positions = workload.positions
    with open_filled(artifact, positions) as fitting, open_filled(more, positions) as doubled:
        runners = Runner(fitting), Runner(doubled)
        yield Oversubscribed(*runners, workload.context, workload.steps)
