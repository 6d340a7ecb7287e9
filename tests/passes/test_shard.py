from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import ProgramError
from headrace.ir.dialect import step_context
from headrace.ir.shares import row_ranges
from headrace.ir.stages import segments, stage_kind, stage_name
from headrace.passes.balance import balanced_bounds
from headrace.passes.programs import stages_of
from headrace.passes.shard import ShardPass
from tests.passes.decoder import SMOLLM2, Decoder, captured
from tests.passes.test_fuse_stages import fused


@given(st.lists(st.integers(1, 64), min_size=1, max_size=200), st.integers(1, 70))
def test_bounds_are_balanced(costs: list[int], workers: int) -> None:
    bounds = balanced_bounds(costs, workers)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, len(costs), workers + 1)
    assert list(bounds) == sorted(bounds)
    shares = [sum(costs[a:b]) for a, b in itertools.pairwise(bounds)]
    assert max(shares) <= sum(costs) / workers + max(costs)


def sharded(shape: Decoder, workers: int):
    module = fused(captured(shape))
    ShardPass(workers).apply(step_context(), module)
    return {stage_name(stage): stage for stage in stages_of(module)}


def test_shards_of_smollm2() -> None:
    shards = {name: stage.shard.data for name, stage in sharded(SMOLLM2, 2).items()}
    bounds = {name: shard.bounds for name, shard in shards.items() if shard.bounds}
    assert bounds == {
        "qkv": (0, 7, 15),
        "out": (0, 9, 18),
        "gate_up": (0, 24, 48),
        "down": (0, 9, 18),
        "head": (0, 768, 1536),
    }
    axes = {name: shard.axis for name, shard in shards.items() if not shard.bounds}
    assert axes == {"embed": "tokens", "attention": "context", "sample": "tokens"}


def test_units_of_wider_formats_weigh_more() -> None:
    shape = Decoder(hidden=256, heads=4, kv_heads=2, head=64, formats={"v_proj": "q8_0"})
    # Units of 64 rows: 4 of q, 2 of k at 144 bytes a row, 2 of v at 272. By rows, the cut is at 4.
    assert sharded(shape, 2)["qkv"].shard.data.bounds == (0, 5, 8)


def test_private_values_are_computed_by_all() -> None:
    stages = sharded(Decoder(family="gemma3"), 2)
    assert stages["embed"].shard.data.axis == stages["merge"].shard.data.axis == "all"


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
def test_every_row_has_one_owner(workers: int) -> None:
    for stage in sharded(Decoder(ffn=80, vocabulary=101, format="f32"), workers).values():
        if stage_kind(stage) == "product":
            for segment in segments(stage):
                rows = [row for each in row_ranges(stage, segment) for row in each]
                assert rows == list(range(segment.rows))


def test_no_workers_is_an_error() -> None:
    with pytest.raises(ProgramError, match="0 workers"):
        sharded(Decoder(), 0)
