from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ProgramError
from headrace.formats.storage import storage_format
from headrace.ir.dialect import step_context
from headrace.ir.mapping_ops import LoopOp, StageOp, StreamOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import WeightOp
from headrace.passes.pack_weights import PackWeightsPass
from headrace.passes.pipeline import map_program
from headrace.passes.programs import program_of, stages_of
from tests.passes.decoder import Decoder, captured
from tests.passes.test_fuse_stages import fused

SHAPES = st.builds(
    Decoder,
    family=st.sampled_from(["llama", "qwen3", "gemma3"]),
    layers=st.integers(1, 4),
    heads=st.just(4),
    kv_heads=st.sampled_from([1, 2, 4]),
    head=st.sampled_from([8, 16, 32]),
    ffn=st.sampled_from([32, 96, 160]),
    vocabulary=st.integers(1, 130),
    format=st.sampled_from(["q4_0", "q4_1", "q8_0", "f16", "f32"]),
)


def mapped(shape: Decoder, workers: int) -> ModuleOp:
    module = captured(shape)
    map_program(module, workers)
    return module


def streams(module: ModuleOp, worker: int) -> dict[str, StreamOp]:
    ops = [op for op in module.ops if isinstance(op, StreamOp)]
    return {op.stage.root_reference.data: op for op in ops if op.worker.data == (worker,)}


def stage_runs(module: ModuleOp) -> Iterator[tuple[Sequence[StageOp], int]]:
    """The stages in the order of one step, with the trip in which they are executed."""
    for op in program_of(module).block.ops:
        if isinstance(op, StageOp):
            yield [op], 0
        elif isinstance(op, LoopOp):
            body = [each for each in op.block.ops if isinstance(each, StageOp)]
            for trip in range(op.trip_count):
                yield body, trip


@settings(max_examples=20, deadline=None)
@given(shape=SHAPES, workers=st.integers(1, 5))
def test_a_workers_streams_follow_each_other_without_a_hole(shape: Decoder, workers: int) -> None:
    module = mapped(shape, workers)
    for worker in range(workers):
        parts, at = streams(module, worker), 0
        for stages, trip in stage_runs(module):
            for stage in stages:
                part = parts.get(stage.sym_name.data)
                if part is not None:
                    assert part.at.data[0] + trip * part.trip.data[0] == at
                    at += part.bytes.data[0]


def weights(stage: StageOp) -> dict[str, WeightOp]:
    """The weights of a stage's products by their names."""
    owners = [op.weight.owner for op in stage.block.ops if isinstance(op, LinearOp)]
    return {op.weight_name.data: op for op in owners if isinstance(op, WeightOp)}


@settings(max_examples=20, deadline=None)
@given(shape=SHAPES, workers=st.integers(1, 5))
def test_each_row_is_in_one_stream(shape: Decoder, workers: int) -> None:
    module = mapped(shape, workers)
    for stage in stages_of(module):
        seen = Counter[tuple[str, int]]()
        for worker in range(workers):
            part = streams(module, worker).get(stage.sym_name.data)
            for run in () if part is None else part.runs:
                size = run.unit_rows.data
                rows = range(run.units.start * size, run.units.stop * size)
                seen.update((name.data, row) for name in run.weights for row in rows)
        for name, weight in weights(stage).items():
            assert [seen.pop((name, row)) for row in range(weight.result.type.rows)] == (
                [1] * weight.result.type.rows
            )
        past_the_end = {name for name, _ in seen}
        assert past_the_end <= {name for name, op in weights(stage).items() if is_ragged(op)}


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_by_columns_each_stream_has_a_part_of_each_row(workers: int) -> None:
    module = captured(Decoder(heads=4, kv_heads=4, head=32, ffn=256))
    map_program(module, workers, mapping="columns")
    for stage in stages_of(module):
        if stage.shard is not None and stage.shard.data.axis == "columns":
            (weight,) = weights(stage).values()
            rows, cols = weight.result.type.shape
            runs = [streams(module, w)[stage.sym_name.data].runs.data[0] for w in range(workers)]
            assert all(run.units == range(-(-rows // 32)) for run in runs)
            assert [col for run in runs for col in run.column_range(cols)] == list(range(cols))


def is_ragged(weight: WeightOp) -> bool:
    return weight.result.type.rows % 32 != 0


@settings(max_examples=20, deadline=None)
@given(shape=SHAPES, workers=st.integers(1, 5))
def test_a_stream_has_the_bytes_of_its_tiles(shape: Decoder, workers: int) -> None:
    module = mapped(shape, workers)
    formats = {name: op for stage in stages_of(module) for name, op in weights(stage).items()}
    for op in module.ops:
        if isinstance(op, StreamOp):
            total = 0
            for run in op.runs:
                tiles = len(run.units) * -(-run.unit_rows.data // 32)
                for name in run.weights:
                    kind = formats[name.data].result.type
                    cols = -(-kind.shape[1] // 32) * 32
                    total += tiles * 32 * storage_format(kind.format.data).row_bytes(cols)
            assert op.bytes.data == (total,)


def test_products_need_shards() -> None:
    with pytest.raises(ProgramError, match="a product has no shard") as error:
        PackWeightsPass().apply(step_context(), fused(captured(Decoder())))
    assert error.value.where == "@qkv"


def test_weights_are_packed_once() -> None:
    with pytest.raises(ProgramError, match="has streams already"):
        PackWeightsPass().apply(step_context(), mapped(Decoder(), 2))
