"""Where a step's time goes, measured."""

from __future__ import annotations

from statistics import median

from headrace.bench.interleave import interleave
from headrace.bench.kv import step_kv_bytes, whole_entries
from headrace.bench.plan import Plan
from headrace.bench.runner import Runner
from headrace.build.artifact import Artifact
from headrace.machine import probe_host
from headrace.report.explanation import Measured, StageTime
from headrace.runtime.program import Program


def measure(plain: Artifact, profiled: Artifact, plan: Plan) -> Measured:
    """Run a program, then its twin that notes the time of each stage."""
    read_tokens = whole_entries(plain, step_kv_bytes(plain, plan))
    with open_program(plain, plan) as program:
        samples = interleave(Runner(program), plan, read_tokens, None)
    with open_program(profiled, plan) as program:
        stages = _stage_times(program, plan)
    return Measured(
        step_seconds=median(samples.decode) / plan.decode,
        read_seconds=median(samples.read) / plan.decode,
        stages=stages,
        host_calls_per_token=median(samples.host_calls) / plan.decode,
    )


def open_program(artifact: Artifact, plan: Plan) -> Program:
    """The artifact's program with its workers asleep, and room for the plan."""
    manifest = artifact.manifest
    context = min(manifest.context, plan.tokens)
    cpus = probe_host().worker_cpus(manifest.workers)
    return Program(manifest, artifact.code, artifact.packed, context=context, cpus=cpus)


def _stage_times(program: Program, plan: Plan) -> dict[str, StageTime]:
    """Each stage's part of the time of all workers, over as many steps as the plan decodes."""
    runner = Runner(program)
    runner.require(plan.tokens)
    runner.prefill(plan.prompt)
    runner.decode(plan.prompt, plan.decode)
    program.profile()  # reset: the steps before were to warm up
    runner.decode(plan.prompt, plan.decode)
    profiles = program.profile()
    total = sum(wait + work for worker in profiles for wait, work in worker.values())
    return {
        name: StageTime(
            work=sum(worker[name][1] for worker in profiles) / total,
            wait=sum(worker[name][0] for worker in profiles) / total,
        )
        for name in program.manifest.stages
    }
