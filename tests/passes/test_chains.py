"""Chains of stages without an exchange: where they are possible, and when they are chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from xdsl.ir import SSAValue

from headrace.errors import ProgramError
from headrace.ir.dialect import step_context
from headrace.ir.shares import shard_of
from headrace.ir.stages import stage_name
from headrace.ir.types import Shard
from headrace.machine import load_machine
from headrace.passes.pipeline import map_program
from headrace.passes.programs import stages_of
from headrace.passes.report import ProgramReport, report
from headrace.passes.shard import ShardPass
from tests.passes.decoder import SMOLLM2, Decoder, DecoderBuilder, captured
from tests.passes.test_fuse_stages import Parallel, fused

#: Whole heads of 32 rows, and an even number of them.
EVEN = Decoder(hidden=128, heads=4, kv_heads=4, head=32, ffn=256)


def shards(
    shape: Decoder,
    mapping: str = "columns",
    exchange: int = 0,
    builder: type[DecoderBuilder] = DecoderBuilder,
) -> dict[str, Shard]:
    module = fused(builder(shape).module())
    ShardPass(2, mapping, exchange).apply(step_context(), module)
    return {stage_name(stage): shard_of(stage) for stage in stages_of(module)}


def axes(shape: Decoder, mapping: str = "columns", exchange: int = 0) -> list[str]:
    """Of the products and attention of a layer, in order."""
    found = shards(shape, mapping, exchange)
    return [found[name].axis for name in ("qkv", "attention", "out", "gate_up", "down")]


def mapped(shape: Decoder, mapping: str) -> ProgramReport:
    module = captured(shape)
    map_program(module, 2, mapping=mapping)
    return report(module)


COLUMNS = ["heads", "heads", "columns", "rows", "columns"]
ROWS = ["rows", "context", "rows", "rows", "rows"]


def test_two_exchanges_a_layer() -> None:
    assert mapped(SMOLLM2, "rows").exchanges_per_step == 30 * 5 + 2
    assert mapped(SMOLLM2, "columns").exchanges_per_step == 30 * 2 + 1


def test_shares_follow_each_other() -> None:
    found = shards(SMOLLM2)
    assert found["qkv"] == found["attention"] == Shard("heads", (0, 1, 3))
    assert found["out"] == Shard("columns", (0, 192, 576))
    assert found["gate_up"] == Shard("rows", (0, 24, 48))
    assert found["down"] == Shard("columns", (0, 768, 1536))


def test_nothing_known_of_the_machine_means_rows() -> None:
    assert axes(EVEN, "auto") == ROWS


def test_dear_exchanges_are_saved() -> None:
    assert axes(EVEN, "auto", exchange=100_000) == COLUMNS
    assert axes(EVEN, "auto", exchange=1) == ROWS


def test_uneven_heads_cost_more_than_even_ones() -> None:
    # A worker with two of three heads reads a sixth more of what belongs to heads.
    uneven = replace(EVEN, hidden=1536, heads=12, kv_heads=3, ffn=512, head=128)
    even = replace(uneven, kv_heads=4)
    assert axes(even, "auto", exchange=12_000)[:3] == COLUMNS[:3]
    assert axes(uneven, "auto", exchange=12_000)[:3] == ROWS[:3]


def test_heads_that_share_a_unit_stay_together() -> None:
    # Two key heads of 16 rows are one unit of 32, which one worker has.
    assert axes(Decoder(hidden=128, heads=4, kv_heads=2, head=16)) == ["rows", *COLUMNS[1:]]
    assert axes(Decoder(hidden=128, heads=8, kv_heads=4, head=16)) == COLUMNS


@pytest.mark.parametrize("format", ["q4_k", "q6_k"])
def test_blocks_of_columns_stay_whole(format: str) -> None:
    shape = replace(EVEN, hidden=256, formats={"proj": format})
    assert axes(replace(shape, ffn=1024)) == [*ROWS[:3], *COLUMNS[3:]]
    assert axes(replace(shape, ffn=256)) == ROWS


def test_a_bias_is_added_once_so_by_rows() -> None:
    class Biased(DecoderBuilder):
        def linear(self, x: SSAValue, name: str, rows: int, bias: bool = False) -> SSAValue:
            return super().linear(x, name, rows, bias or name.endswith("down_proj"))

    assert shards(EVEN, builder=Biased)["down"].axis == "rows"


def test_fewer_heads_than_workers() -> None:
    assert axes(replace(EVEN, kv_heads=1))[:3] == ROWS[:3]


def test_blocks_side_by_side_have_their_exchange_between() -> None:
    assert {each.axis for each in shards(EVEN, builder=Parallel).values()}.isdisjoint(
        {"heads", "columns"}
    )


def test_a_machine_prices_its_exchanges() -> None:
    machine = load_machine("epyc-zen5-2core")
    dear, free = captured(EVEN), captured(EVEN)
    map_program(dear, replace(machine, token_exchange_s=1e-3))
    map_program(free, replace(machine, token_exchange_s=1e-12))
    exchanges = [report(module).exchanges_per_step for module in (dear, free)]
    assert exchanges == [3 * 2 + 1, 3 * 5 + 2]


def test_an_unknown_mapping_is_an_error() -> None:
    with pytest.raises(ProgramError, match="no mapping 'diagonals'"):
        shards(EVEN, "diagonals")
