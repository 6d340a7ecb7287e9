from __future__ import annotations

import pytest

from headrace.ir.mapping_ops import StageOp
from headrace.passes.pipeline import map_program
from headrace.report.dataflow import Dataflow, dataflow
from tests.passes.decoder import SMOLLM2, Decoder, captured

SHAPES = {
    "smollm2": SMOLLM2,
    "qwen2": Decoder(family="qwen2"),
    "gemma3": Decoder(family="gemma3", layers=6, windows=(16, 0)),
    "one layer": Decoder(layers=1),
    "two loops": Decoder(layers=5, ffn_of_layer=lambda layer: 96 if layer < 2 else 64),
}


def flow_of(shape: Decoder, workers: int = 2) -> Dataflow:
    module = captured(shape)
    map_program(module, workers)
    return dataflow(module)


def test_smollm2_from_tokens_to_tokens() -> None:
    flow = flow_of(SMOLLM2)
    stages = ["qkv", "attention", "out", "gate_up", "down"]
    names = ["tokens", "embed", "carry 0", *stages, "head", "sample", "next tokens"]
    assert [node.name for node in flow.nodes] == names
    assert [node.name for node in flow.nodes if node.loop == 0] == ["carry 0", *stages]
    assert flow.trips == (30,)
    assert [(cache.writer, cache.reader) for cache in flow.caches] == [("qkv", "attention")]


def test_streams_say_how_they_are_read() -> None:
    streams = {(s.source, s.target): s for s in flow_of(SMOLLM2).streams}
    assert streams["out", "gate_up"].reading == "all"
    assert streams["out", "gate_up"].token
    assert streams["out", "down"].reading == "own"
    assert not streams["out", "down"].token
    assert streams["down", "carry 0"].back
    assert streams["down", "carry 0"].token
    assert streams["qkv", "attention"].label == "T × 9 × 64"
    assert streams["head", "sample"].label == "outputs × 49152"


def test_gemma_keeps_its_residual_private() -> None:
    streams = {(s.source, s.target): s for s in flow_of(SHAPES["gemma3"]).streams}
    assert streams["gate_up", "merge"].reading == "private"
    assert streams["merge", "carry 0"].reading == "private"


@pytest.mark.parametrize("name", SHAPES)
def test_every_token_edge_is_drawn(name: str) -> None:
    module = captured(SHAPES[name])
    map_program(module, 3)
    flow = dataflow(module)
    edges = sum(len(op.after or ()) for op in module.walk() if isinstance(op, StageOp))
    drawn = sum(stream.token for stream in flow.streams) + len(flow.waits)
    assert edges > 0
    assert drawn == edges


@pytest.mark.parametrize("name", SHAPES)
def test_every_stage_is_reached(name: str) -> None:
    flow = flow_of(SHAPES[name])
    order = {node.name: index for index, node in enumerate(flow.nodes)}
    for node in flow.nodes[1:]:
        assert any(each.target == node.name for each in flow.streams)
    for stream in flow.streams:
        assert stream.back == (order[stream.source] >= order[stream.target])


def test_one_worker_needs_no_tokens() -> None:
    flow = flow_of(SMOLLM2, workers=1)
    assert not any(stream.token for stream in flow.streams)
    assert not flow.waits
