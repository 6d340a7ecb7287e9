from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ProgramError
from headrace.ir.dialect import parse_program, print_program, step_context
from headrace.ir.mapping_ops import LoopOp
from headrace.ir.stages import (
    access,
    epilogue,
    is_private,
    outer_values,
    prologue,
    segments,
    stage_kind,
    stage_name,
    stage_ops,
    storage,
)
from headrace.passes.choose_formats import ChooseFormatsPass
from headrace.passes.fuse_stages import FuseStagesPass
from headrace.passes.loop_layers import LoopLayersPass
from headrace.passes.programs import program_of, require_stages, stages_of
from headrace.passes.shard import ShardPass
from tests.passes.decoder import SMOLLM2, Decoder, DecoderBuilder, captured
from tests.passes.running import outputs_of
from tests.passes.structures import Learned


def fused(module: ModuleOp) -> ModuleOp:
    for each in (ChooseFormatsPass(), LoopLayersPass(), FuseStagesPass()):
        each.apply(step_context(), module)
        module.verify()
    require_stages(module)
    return parse_program(print_program(module))


def names(module: ModuleOp) -> list[str]:
    return [stage_name(stage) for stage in stages_of(module)]


LAYER = ["qkv", "attention", "out", "gate_up", "down"]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_five_stages_a_layer(family: str) -> None:
    module = fused(captured(Decoder(family=family)))
    assert names(module) == ["embed", *LAYER, "head", "sample"]
    (loop,) = (op for op in program_of(module).block.ops if isinstance(op, LoopOp))
    assert len([op for op in loop.block.ops if op.name == "step.stage"]) == 5


def test_gemma_keeps_its_residual_private() -> None:
    module = fused(captured(Decoder(family="gemma3")))
    assert names(module) == ["embed", *LAYER, "merge", "head", "sample"]
    stages = {stage_name(stage): stage for stage in stages_of(module)}
    results = {name: [storage(r) for r in stage.results_] for name, stage in stages.items()}
    assert results["embed"] == results["merge"] == ["private"]
    assert results["gate_up"] == ["private", "shared"]
    assert results["qkv"] == ["shared", "cache"]
    assert results["attention"] == ["partial"]
    assert results["out"] == results["down"] == results["head"] == results["sample"] == ["shared"]
    assert is_private(stages["merge"].results_[0])
    assert not is_private(stages["down"].results_[0])


def test_straight_layers_are_numbered() -> None:
    shape = Decoder(family="gemma3", layers=2, ffn_of_layer=lambda layer: 96 - 32 * layer)
    second = [f"{name}_2" for name in LAYER]
    assert names(fused(captured(shape))) == ["embed", *LAYER, *second, "merge", "head", "sample"]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3"])
@pytest.mark.parametrize("layers", [1, 3])
def test_stages_compute_what_the_operators_did(family: str, layers: int) -> None:
    shape = Decoder(family=family, layers=layers)
    for want, got in zip(
        outputs_of(captured(shape)), outputs_of(fused(captured(shape))), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_segments_of_smollm2() -> None:
    stages = {stage_name(stage): stage for stage in stages_of(fused(captured(SMOLLM2)))}
    units = {
        name: [(len(each.linears), each.rows, each.unit_rows, each.units) for each in parts]
        for name, stage in stages.items()
        if (parts := segments(stage))
    }
    assert units == {
        "qkv": [(1, 576, 64, 9), (1, 192, 64, 3), (1, 192, 64, 3)],
        "out": [(1, 576, 32, 18)],
        "gate_up": [(2, 1536, 32, 48)],
        "down": [(1, 576, 32, 18)],
        "head": [(1, 49152, 32, 1536)],
    }


@pytest.mark.parametrize(
    ("heads", "head", "unit"), [(4, 16, 32), (3, 16, 16), (6, 16, 32), (4, 8, 32), (2, 80, 160)]
)
def test_units_hold_whole_heads(heads: int, head: int, unit: int) -> None:
    shape = Decoder(heads=heads, head=head, kv_heads=1, format="f32")
    qkv = next(s for s in stages_of(fused(captured(shape))) if stage_name(s) == "qkv")
    assert segments(qkv)[0].unit_rows == unit


def test_what_stages_read() -> None:
    stages = {stage_name(stage): stage for stage in stages_of(fused(captured(Decoder())))}
    out = stages["out"]
    kinds = {storage(value): access(out, value) for value in outer_values(out)}
    assert kinds == {"partial": "all", "shared": "own"}
    assert [op.name for op in prologue(stages["head"])] == ["step.select", "step.norm"]
    assert [op.name for op in epilogue(stages["gate_up"])] == ["step.map"]
    assert {stage_kind(stage) for stage in stages.values()} == {
        "embedding",
        "product",
        "attention",
        "sample",
    }


class Parallel(DecoderBuilder):
    """Attention and MLP side by side, on one norm (GPT-J, Cohere)."""

    def layer(self, x, layer):
        n = self.norm(x, f"model.layers.{layer}.norm")
        return self.add(self.add(x, self.attention(n, layer)), self.mlp(n, layer))


def test_parallel_blocks_share_their_first_product() -> None:
    module = fused(Parallel(Decoder()).module())
    assert names(module) == ["embed", "qkv", "attention", "out", "down", "head", "sample"]


class NormalisedKeys(DecoderBuilder):
    def heads(self, x, name, count):
        return super().heads(self.norm(x, f"{name}.whole"), name, count)


def test_keys_normalised_over_all_heads_are_appended_by_a_stage_of_their_own() -> None:
    module = fused(NormalisedKeys(Decoder()).module())
    assert names(module) == ["embed", "qkv", "append", *LAYER[1:], "head", "sample"]
    stages = {stage_name(stage): stage for stage in stages_of(module)}
    assert [storage(r) for r in stages["qkv"].results_] == ["shared"] * 3
    assert [storage(r) for r in stages["append"].results_] == ["shared", "cache"]
    ShardPass(2).apply(step_context(), module)
    append = stages["append"].shard
    assert append is not None
    assert append.data.axis == "tokens"


def test_tokens_and_positions_are_one_embedding() -> None:
    module = fused(Learned(Decoder(format="f32")).module())
    assert names(module)[:2] == ["embed", "qkv"]
    embed = next(iter(stages_of(module)))
    found = [op.name for op in stage_ops(embed)]
    assert found == ["step.embedding", "step.embedding", "step.map"]


def test_stages_are_made_once() -> None:
    module = fused(captured(Decoder()))
    with pytest.raises(ProgramError, match="has stages already"):
        FuseStagesPass().apply(step_context(), module)


def test_rows_are_selected_from_what_another_stage_left() -> None:
    module = fused(captured(Decoder(family="gemma3", layers=1)))
    assert names(module) == ["embed", *LAYER, "merge", "head", "sample"]
    stages = {stage_name(stage): stage for stage in stages_of(module)}
    assert [op.name for op in prologue(stages["head"])] == ["step.select", "step.norm"]
