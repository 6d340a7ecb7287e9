"""Our side of prefill: a prompt, against what the multipliers can do at most."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.bench.programs import open_program
from headrace.bench.runner import Runner
from headrace.bench.suite.ours import Turn, Work, plan_of
from headrace.bench.suite.workload import Workload
from headrace.build import Artifact


@dataclass(frozen=True, slots=True)
class Prefill:
    """A prompt from an empty cache to its last token's logits."""

    runner: Runner
    tokens: int

    def run(self) -> Turn:
        return Turn(self.runner.prefill(self.tokens), self.tokens)


@contextmanager
def prefill_work(artifact: Artifact, workload: Workload) -> Generator[Work]:
    """Reading the workload's prompt."""
    with open_program(artifact, plan_of(workload)) as program:
        yield Prefill(Runner(program), workload.context)
