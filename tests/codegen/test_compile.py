"""Compiling a mapped program: its manifest, its layout of memory, and what is refused."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from llvmlite import ir
from xdsl.dialects.builtin import ModuleOp

from headrace.codegen import abi
from headrace.codegen.compile import MAX_TOKENS
from headrace.codegen.describe import manifest_of
from headrace.codegen.manifest import Manifest
from headrace.codegen.plan import Plan
from headrace.codegen.worker import WorkerCode
from headrace.errors import ProgramError
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import stage_kind, stage_name
from headrace.passes.pipeline import map_program
from tests.codegen.native import TARGETS
from tests.ir.decoders import Decoder, program_of

WORKERS = 3
DECODERS = {
    "plain": Decoder(),
    "full": Decoder(
        layers=3,
        head_norm=True,
        bias=True,
        post_norm=True,
        windows=(8, 0, 8),
        thetas=(1e4, 1e6, 1e4),
    ),
    "straight": Decoder(layers=1, windows=(0,), thetas=(1e4,)),
}


def mapped(name: str, weights: str = "auto", workers: int = WORKERS) -> ModuleOp:
    module = program_of(DECODERS[name])
    map_program(module, workers, weights)
    return module


@cache
def planned(name: str) -> tuple[Plan, Manifest]:
    plan = Plan(mapped(name), MAX_TOKENS)
    return plan, manifest_of(plan)


@pytest.mark.parametrize("name", DECODERS)
def test_manifest_round_trips(name: str) -> None:
    _, manifest = planned(name)
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("name", DECODERS)
def test_streams_are_whole_and_in_order(name: str) -> None:
    decoder, (_, manifest) = DECODERS[name], planned(name)
    for worker in range(WORKERS):
        parts = [part for part in manifest.streams if part.worker == worker]
        ranges = sorted(
            (part.at + trip * part.trip, part.at + trip * part.trip + part.bytes)
            for part in parts
            for trip in range(part.trips)
        )
        assert ranges[0][0] == 0
        assert all(end == start for (_, end), (start, _) in pairwise(ranges))
        assert ranges[-1][1] == manifest.stream_bytes[worker]
        assert all(part.bytes == sum(run.bytes for run in part.runs) for part in parts)
    names = {name for p in manifest.streams for r in p.runs for trip in r.weights for name in trip}
    assert len(names) == 7 * decoder.layers + 1  # q, k, v, o, gate, up, down; the tied head


@pytest.mark.parametrize("name", DECODERS)
def test_areas_of_the_packed_file_do_not_overlap(name: str) -> None:
    _, manifest = planned(name)
    ends = [
        start + size
        for start, size in zip(manifest.stream_starts, manifest.stream_bytes, strict=True)
    ]
    last = manifest.vectors[-1]
    vectors_end = last.at + last.trip * (len(last.names) - 1) + 4 * last.length
    starts = [*manifest.stream_starts[1:], manifest.vectors_start, manifest.rows_start]
    ends.append(manifest.vectors_start + vectors_end)
    assert all(end <= start for end, start in zip(ends, starts, strict=True))
    (rows,) = manifest.rows
    assert manifest.packed_bytes == manifest.rows_start + rows.rows * rows.row_bytes


@pytest.mark.parametrize("name", DECODERS)
def test_memory_of_a_program(name: str) -> None:
    decoder, (plan, manifest) = DECODERS[name], planned(name)
    cache = manifest.cache
    assert (cache.layers, cache.heads) == (decoder.layers, decoder.kv_heads)
    token_floats = cache.layers * cache.heads * (cache.key_head + cache.value_head)
    assert cache.token_bytes == token_floats * {"f16": 2, "f32": 4}[cache.format]
    logits = manifest.max_outputs * manifest.logits_stride * 4
    assert manifest.logits_at + logits <= manifest.shared_bytes
    areas = [plan.scratch.records, plan.scratch.rows, plan.scratch.product, plan.scratch.end]
    assert areas == sorted(areas)
    assert plan.scratch.end <= manifest.private_bytes


def test_one_worker_needs_no_token_edges() -> None:
    plan = Plan(mapped("plain", workers=1), MAX_TOKENS)
    assert manifest_of(plan).token_edges_per_step == 0


@pytest.mark.parametrize("name", DECODERS)
def test_attention_takes_rows_in_blocks_from_the_product_before_it(name: str) -> None:
    plan, _ = planned(name)
    takers = [stage for stage in plan.stages if plan.takes_blocks(stage)]
    assert {stage_kind(stage) for stage in takers} == {"attention"}
    for taker in takers:
        before, behind = (plan.stages[plan.stages.index(taker) + step] for step in (-1, 1))
        assert plan.streams_rows(before)
        assert not plan.streams_rows(taker)
        # What others did before attention is known from here on.
        assert stage_name(taker) in {edge.stage_name for edge in behind.after or ()}


def test_attention_by_heads_takes_what_its_own_worker_has_made() -> None:
    module = program_of(DECODERS["plain"])
    map_program(module, 2, mapping="columns")
    plan = Plan(module, MAX_TOKENS)
    assert not any(plan.takes_blocks(stage) or plan.streams_rows(stage) for stage in plan.stages)


def test_kernels_are_shared_by_stages() -> None:
    text = str(WorkerCode(mapped("plain"), TARGETS["special"], MAX_TOKENS).build())
    assert text.count('@"product_f32"(') > text.count('define internal void @"product_f32"(') == 1
    exported = [line for line in text.splitlines() if line.startswith("define void")]
    assert [line.split('"')[1] for line in exported] == ["worker", "post"]


def test_polled_words_have_cache_lines_of_their_own() -> None:
    words = 64 // 8
    lines = [
        abi.word(name) // words for name in ("epoch", "finished", "cancel", "ring_count", "go")
    ]
    lines += [
        abi.worker_word(worker, name) // words
        for worker in range(3)
        for name in ("counter", "sleepers", "stream")
    ]
    assert len(set(lines)) == len(lines)
    assert abi.word("spins") // words < min(lines)
    assert max(lines) < abi.control_words(3) // words


def test_a_program_that_is_not_mapped_is_refused() -> None:
    with pytest.raises(ProgramError, match="workers"):
        _ = WorkerCode(program_of(Decoder()), TARGETS["special"], MAX_TOKENS).build()


def test_stages_without_buffers_are_refused() -> None:
    module = mapped("plain")
    for op in module.walk():
        if isinstance(op, StageOp):
            op.buffers = None
    with pytest.raises(ProgramError, match="buffer") as caught:
        WorkerCode(module, TARGETS["special"], MAX_TOKENS).build()
    assert "stage @" in (caught.value.where or "")


def test_a_module_holds_one_program() -> None:
    with pytest.raises(ProgramError, match="one program"):
        Plan(ModuleOp([]), MAX_TOKENS)


def test_code_is_the_same_each_time() -> None:
    def text() -> str:
        module: ir.Module = WorkerCode(
            mapped("full"), TARGETS["special"], MAX_TOKENS, trace=True
        ).build()
        return str(module)

    assert text() == text()
