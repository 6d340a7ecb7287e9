"""A traced run: what every worker does in a prompt and the steps after it."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns

from headrace.bench.events import Event, worker_events
from headrace.bench.plan import Plan
from headrace.bench.programs import open_program
from headrace.bench.runner import Runner
from headrace.build.artifact import Artifact
from headrace.ir.dialect import parse_program
from headrace.report.stages import StageRow, stage_rows
from headrace.runtime.trace import HostCall

#: Steps that are recorded, at most: two schedules.
MOST_STEPS = 64


@dataclass(frozen=True, slots=True)
class TracedRun:
    """What happened, by worker, and on the host; `stages` are the program's, for one token."""

    model: str
    stages: tuple[StageRow, ...]
    workers: tuple[tuple[Event, ...], ...]
    host: tuple[HostCall, ...]


def traced_run(model: str, artifact: Artifact, plan: Plan) -> TracedRun:
    """Run a traced program: once to warm up, then a prompt and some steps that are recorded."""
    steps = min(plan.decode, MOST_STEPS)
    module = parse_program(artifact.program_text("mapped"))
    rows = stage_rows(module, plan.prompt + steps // 2)
    with open_program(artifact, plan) as program:
        runner = Runner(program)
        runner.require(plan.tokens)
        runner.prefill(plan.prompt)
        runner.decode(plan.prompt, steps)
        since = perf_counter_ns()
        runner.prefill(plan.prompt)
        runner.decode(plan.prompt, steps)
        recording = program.recording()
    host = tuple(call for call in recording.host if call.begin_ns >= since)
    return TracedRun(model, rows, worker_events(recording, rows, since), host)
