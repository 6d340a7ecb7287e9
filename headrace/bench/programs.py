"""A measured program in memory."""

from __future__ import annotations

from headrace.bench.plan import Plan
from headrace.build.artifact import Artifact
from headrace.machine import probe_host
from headrace.runtime.program import Program


def open_program(artifact: Artifact, plan: Plan) -> Program:
    """The artifact's program with its workers asleep, and room for the plan."""
    manifest = artifact.manifest
    context = min(manifest.context, plan.tokens)
    cpus = probe_host().worker_cpus(manifest.workers)
    return Program(manifest, artifact.code, artifact.packed, context=context, cpus=cpus)
