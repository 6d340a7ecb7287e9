from __future__ import annotations

import pytest

from headrace.passes.report import report
from tests.passes.decoder import SMOLLM2, Decoder
from tests.passes.test_order_tokens import mapped


def test_smollm2_on_two_workers() -> None:
    found = report(mapped(SMOLLM2, 2))
    assert (found.workers, found.loops, found.layers, found.stages_per_layer) == (2, (30,), 30, 5)
    assert found.exchanges_per_step == 30 * 5 + 2
    assert found.token_edges_per_step == 2 * (30 * 5 + 1) + 1
    by_name = {stage.name: stage for stage in found.stages}
    q4_1 = {"qkv": 960 * 576, "out": 576 * 576, "gate_up": 2 * 1536 * 576, "down": 576 * 1536}
    norms = {"qkv": 576 * 4, "out": 0, "gate_up": 576 * 4, "down": 0}
    for name, values in q4_1.items():
        assert by_name[name].weight_bytes == values // 32 * 20 + norms[name]
        assert by_name[name].executions == 30
    assert by_name["embed"].weight_bytes == 576 // 32 * 20
    assert found.weight_bytes_per_token == sum(s.weight_bytes * s.executions for s in found.stages)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_edges_by_workers(workers: int) -> None:
    found = report(mapped(Decoder(family="gemma3", layers=4, hidden=128), workers))
    exchanges = 4 * 5 + 1 if workers > 1 else 0
    assert found.exchanges_per_step == exchanges
    assert found.stages_per_layer == 6
    full = workers * (workers - 1)
    assert found.token_edges_per_step == (4 * 5 * full + workers - 1 if workers > 1 else 0)


def test_two_loops() -> None:
    shape = Decoder(layers=5, ffn_of_layer=lambda layer: 96 if layer < 2 else 64)
    found = report(mapped(shape, 2))
    assert (found.loops, found.layers, found.stages_per_layer) == ((2, 3), 5, 5)
    assert found.exchanges_per_step == 5 * 5 + 2


def test_what_is_fused() -> None:
    stages = {stage.name: stage for stage in report(mapped(Decoder(), 2)).stages}
    assert stages["gate_up"].operators == ("norm", "linear", "linear", "map")
    assert stages["head"].operators == ("select", "norm", "linear")
    assert not stages["head"].in_loop
