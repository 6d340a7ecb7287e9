"""Our side of prefill: a prompt, against what the multipliers can do at most."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.bench.multiply_kernel import MultiplyKernel
from headrace.bench.programs import open_program
from headrace.bench.runner import Runner
from headrace.bench.suite.ours import Turn, Work, plan_of
from headrace.bench.suite.workload import MULTIPLIERS, Workload
from headrace.bench.together import seconds_together
from headrace.build import Artifact
from headrace.codegen.target import Target
from headrace.ir.dialect import parse_program
from headrace.machine import probe_host
from headrace.report.stages import stage_rows

_ROUNDS = 1 << 23  # some hundredths of a second


@dataclass(frozen=True, slots=True)
class Peak:
    """The multipliers of all workers' processors, busy with registers alone."""

    kernel: MultiplyKernel
    cpus: tuple[int, ...]

    def rate(self) -> float:
        """8-bit multiply-adds a second, right now."""
        seconds = seconds_together(self.cpus, lambda _: self.kernel.run(_ROUNDS))
        return len(self.cpus) * _ROUNDS * self.kernel.round_macs / seconds


@dataclass(frozen=True, slots=True)
class Prefill:
    """A prompt from an empty cache to its last token's logits, between two looks at the peak.

    Attributes:
        macs: 8-bit multiply-adds of all products; attention's are floats and count nothing.
    """

    runner: Runner
    tokens: int
    macs: int
    peak: Peak

    def run(self) -> Turn:
        before = self.peak.rate()
        seconds = self.runner.prefill(self.tokens)
        peak = (before + self.peak.rate()) / 2
        return Turn(seconds, self.tokens, {MULTIPLIERS: self.macs / seconds / peak})


@contextmanager
def prefill_work(artifact: Artifact, workload: Workload) -> Generator[Work]:
    """Reading the workload's prompt."""
    workers = artifact.manifest.workers
    cpus = probe_host().worker_cpus(workers)[:workers]
    peak = Peak(MultiplyKernel(Target.host()), cpus)
    macs = prompt_macs(artifact, workload.context)
    with open_program(artifact, plan_of(workload)) as program:
        yield Prefill(Runner(program), workload.context, macs, peak)


def prompt_macs(artifact: Artifact, tokens: int) -> int:
    """8-bit multiply-adds of a prompt: of all products, the head's for the last token alone."""
    rows = stage_rows(parse_program(artifact.program_text("mapped")), tokens)
    return sum(row.quantised_macs * (1 if row.name == "head" else tokens) for row in rows)
