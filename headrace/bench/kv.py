"""The part of the KV cache that a step reads."""

from __future__ import annotations

from headrace.bench.plan import Plan
from headrace.build import Artifact
from headrace.ir.dialect import parse_program
from headrace.report.stages import stage_rows


def step_kv_bytes(artifact: Artifact, plan: Plan) -> int:
    """Bytes of keys and values that a step reads in the middle of decoding, windows heeded."""
    module = parse_program(artifact.program_text("mapped"))
    return sum(row.kv_bytes for row in stage_rows(module, plan.kv_tokens))


def whole_entries(artifact: Artifact, kv_bytes: int) -> int:
    """The number of KV entries, over all layers, that have as many bytes."""
    return kv_bytes // artifact.manifest.cache.token_bytes
