"""Matrices of several formats in one model: the loops and stages of what the passes make of it."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.stages import stage_name, stage_ops
from headrace.passes.pipeline import map_program
from headrace.passes.programs import program_of, stages_of
from headrace.passes.weight_types import format_of
from tests.passes.decoder import Decoder, captured
from tests.passes.running import outputs_of

FIRST_DOWNS = {f"layers.{layer}.mlp.down": "q8_0" for layer in range(2)}


def mapped(shape: Decoder, weights: str = "auto", workers: int = 2) -> ModuleOp:
    module = captured(shape)
    map_program(module, workers, weights)
    return module


def trips(module: ModuleOp) -> list[int]:
    return [op.trip_count for op in program_of(module).block.ops if isinstance(op, LoopOp)]


def check(shape: Decoder, workers: int) -> None:
    """The mapped program computes what was captured."""
    module = mapped(shape, workers=workers)
    wanted = outputs_of(captured(shape))
    for seed in range(2):
        for a, b in zip(outputs_of(module, seed), wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_layers_of_other_formats_are_loops_of_their_own(family: str) -> None:
    shape = Decoder(family=family, layers=6, formats=FIRST_DOWNS)
    assert trips(mapped(shape)) == [2, 4]
    check(shape, 3)


@pytest.mark.parametrize("weights", ["f32", "bf16"])
def test_layers_whose_formats_are_replaced_are_one_loop(weights: str) -> None:
    assert trips(mapped(Decoder(layers=6, formats=FIRST_DOWNS), weights)) == [6]


def test_one_layer_of_another_format_stays_straight() -> None:
    shape = Decoder(layers=5, formats={"layers.2.mlp.up": "q8_0", "layers.2.mlp.gate": "q8_0"})
    assert trips(mapped(shape)) == [2, 2]
    check(shape, 2)


def stages(module: ModuleOp) -> dict[str, StageOp]:
    return {stage_name(stage): stage for stage in stages_of(module)}


def formats(stage: StageOp) -> list[str]:
    return [format_of(op.weight).name for op in stage_ops(stage) if isinstance(op, LinearOp)]


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_products_that_take_their_input_in_other_forms_are_stages_of_their_own(family: str) -> None:
    shape = Decoder(family=family, formats={"q_proj": "f16"})
    found = stages(mapped(shape))
    assert formats(found["q"]) == ["f16"]
    assert formats(found["kv"]) == ["q4_0", "q4_0"]
    check(shape, 3)


@pytest.mark.parametrize("float_one", ["k_proj", "v_proj"])
def test_keys_and_values_come_from_one_stage(float_one: str) -> None:
    shape = Decoder(formats={float_one: "f16"})
    found = stages(mapped(shape))
    assert formats(found["q"]) == ["q4_0"]
    assert sorted(formats(found["kv"])) == ["f16", "f32"]
    check(shape, 3)


def test_one_stage_takes_formats_that_enter_alike() -> None:
    shape = Decoder(formats={"v_proj": "q8_0", "k_proj": "q4_1"})
    assert formats(stages(mapped(shape))["qkv"]) == ["q4_0", "q4_1", "q8_0"]
    check(shape, 3)


@pytest.mark.parametrize("up", ["q8_0", "q4_1", "f16"])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_products_of_other_formats_are_not_zipped(family: str, up: str) -> None:
    shape = Decoder(family=family, formats={"up_proj": up})
    found = stages(mapped(shape))
    assert (formats(found["up"]), formats(found["up_2"])) == (["q4_0"], [up])
    check(shape, 3)


def test_the_gate_of_an_equal_share_needs_no_exchange() -> None:
    found = stages(mapped(Decoder(formats={"up_proj": "q8_0"})))
    assert not found["up_2"].after.data
    assert found["up"].shard == found["up_2"].shard
