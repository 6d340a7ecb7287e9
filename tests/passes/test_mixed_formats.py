"""Matrices of several formats in one model: the loops and stages of what the passes make of it."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from headrace.ir.mapping_ops import LoopOp
from headrace.passes.pipeline import map_program
from headrace.passes.programs import program_of
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
