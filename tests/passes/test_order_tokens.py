from __future__ import annotations

import pytest
from xdsl.dialects.builtin import ArrayAttr, ModuleOp

from headrace.errors import ProgramError
from headrace.ir.dialect import step_context
from headrace.ir.stages import stage_name
from headrace.passes.order_tokens import OrderTokensPass
from headrace.passes.pipeline import map_program
from headrace.passes.programs import stages_of
from headrace.passes.shard import ShardPass
from tests.passes.decoder import Decoder, captured
from tests.passes.running import outputs_of
from tests.passes.structures import Beside, Learned, Parallel, Structured, Whole, WholeQueries
from tests.passes.test_fuse_stages import fused

CHAIN = {
    "attention": [("qkv", 0)],
    "out": [("attention", 0)],
    "gate_up": [("out", 0)],
    "down": [("gate_up", 0)],
    "sample": [("head", 0)],
}


def mapped(shape: Decoder, workers: int) -> ModuleOp:
    module = captured(shape)
    map_program(module, workers)
    return module


def edges(module: ModuleOp) -> dict[str, list[tuple[str, int]]]:
    found = {
        stage_name(stage): [(e.stage_name, e.distance.data) for e in stage.after]
        for stage in stages_of(module)
    }
    return {name: each for name, each in found.items() if each}


def test_edges_of_a_llama() -> None:
    want = CHAIN | {"qkv": [("embed", 0), ("down", 1)], "head": [("down", 0)]}
    assert edges(mapped(Decoder(), 2)) == want


def test_private_values_need_no_edges() -> None:
    assert edges(mapped(Decoder(family="gemma3"), 2)) == CHAIN | {"merge": [("down", 0)]}


def test_one_worker_waits_for_nobody() -> None:
    assert edges(mapped(Decoder(), 1)) == {}


@pytest.mark.parametrize("shape", [Decoder(), Decoder(family="gemma3"), Decoder(layers=1)])
def test_no_edge_is_superfluous(shape: Decoder) -> None:
    """Without any one of them, the simulated workers race."""
    for name, after in edges(mapped(shape, 2)).items():
        for index in range(len(after)):
            module = mapped(shape, 2)
            stage = next(each for each in stages_of(module) if stage_name(each) == name)
            kept = [edge for place, edge in enumerate(stage.after) if place != index]
            stage.after = ArrayAttr(kept)
            with pytest.raises(ProgramError):
                outputs_of(module)


def structured(builder: type[Structured]) -> ModuleOp:
    module = builder(Decoder(format="f32")).module()
    map_program(module, 2)
    return module


def test_keys_appended_apart_are_waited_for() -> None:
    want = CHAIN | {"append": [("qkv", 0)], "attention": [("append", 0)], "merge": [("down", 0)]}
    want["up"] = want.pop("gate_up")
    want["down"] = [("up", 0)]
    assert edges(structured(Whole)) == want


@pytest.mark.parametrize("builder", [Whole, WholeQueries, Learned, Parallel, Beside])
def test_no_edge_of_other_structures_is_superfluous(builder: type[Structured]) -> None:
    for name, after in edges(structured(builder)).items():
        for index in range(len(after)):
            module = structured(builder)
            stage = next(each for each in stages_of(module) if stage_name(each) == name)
            assert stage.after is not None
            kept = [edge for place, edge in enumerate(stage.after) if place != index]
            stage.after = ArrayAttr(kept)
            with pytest.raises(ProgramError):
                outputs_of(module)


def test_shards_must_agree() -> None:
    module = fused(captured(Decoder()))
    ShardPass(2).apply(step_context(), module)
    other = fused(captured(Decoder()))
    ShardPass(3).apply(step_context(), other)
    stage, replacement = (
        next(s for s in stages_of(m) if stage_name(s) == "out") for m in (module, other)
    )
    stage.shard = replacement.shard
    with pytest.raises(ProgramError, match="different numbers of workers"):
        OrderTokensPass().apply(step_context(), module)
