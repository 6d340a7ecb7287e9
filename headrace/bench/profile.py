"""Where a step's time goes, measured."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from headrace.bench.events import Event, Step, steps
from headrace.bench.interleave import interleave
from headrace.bench.kv import step_kv_bytes, whole_entries
from headrace.bench.plan import Plan
from headrace.bench.programs import open_program
from headrace.bench.runner import Runner
from headrace.bench.trace import traced_run
from headrace.build.artifact import Artifact
from headrace.report.explanation import Measured, StageTime


def measure(plain: Artifact, traced: Artifact, plan: Plan) -> Measured:
    """Run a program, then its twin that records what workers do."""
    read_tokens = whole_entries(plain, step_kv_bytes(plain, plan))
    with open_program(plain, plan) as program:
        samples = interleave(Runner(program), plan, read_tokens, None)
    run = traced_run("", traced, plan)
    return Measured(
        step_seconds=median(samples.decode) / plan.decode,
        read_seconds=median(samples.read) / plan.decode,
        stages=stage_times(run.workers),
        host_calls_per_token=median(samples.host_calls) / plan.decode,
    )


def stage_times(workers: Sequence[Sequence[Event]]) -> dict[str, StageTime]:
    """Each stage's part of a step's time, a mean over workers, from the steps of one token.

    Medians over the steps: a core that is taken away for a while is no stage's time. Waiting for
    the decision on the next step is waiting for who samples: it counts as sampling.
    """
    decoded = [[step for step in steps(events) if step.tokens == 1] for events in workers]
    work: dict[str, list[int]] = {}
    wait: dict[str, list[int]] = {}
    for same in zip(*decoded, strict=True):
        for sums, of_step in zip((work, wait), _sums(same), strict=True):
            for name, time in of_step.items():
                sums.setdefault(name, []).append(time)
    middle = {name: (median(work[name]), median(wait[name])) for name in work}
    total = sum(map(sum, middle.values()))
    return {name: StageTime(*(each / total for each in times)) for name, times in middle.items()}


def _sums(same: Sequence[Step]) -> tuple[dict[str, int], dict[str, int]]:
    """Work and waiting by stage, in one step of all workers."""
    work: dict[str, int] = {}
    wait: dict[str, int] = {}
    for step in same:
        last = [each.name for each in step.events if each.is_stage][-1]
        for each in step.events:
            name = last if each.is_decision else each.name
            work[name] = work.get(name, 0) + each.work
            wait[name] = wait.get(name, 0) + each.wait
    return work, wait
