"""Decoders of every structure: mapped programs compute what was captured, without a race."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.ir.dialect import parse_program, print_program, step_context
from headrace.ir.mapping_ops import LoopOp
from headrace.passes.loop_layers import LoopLayersPass
from headrace.passes.pipeline import map_program
from headrace.passes.programs import program_of
from tests.passes.decoder import Decoder
from tests.passes.running import outputs_of
from tests.passes.structures import STRUCTURES, Structured

MAPPINGS = ((1, "rows"), (2, "rows"), (3, "rows"), (2, "columns"))


def shape_of(builder: type[Structured], layers: int) -> Decoder:
    kv_heads = 1 if builder.__name__ == "Bare" else 2
    windows = (3, 0) if builder.sinks else (0,)
    return Decoder(layers=layers, kv_heads=kv_heads, windows=windows, format="f32")


@pytest.mark.parametrize("builder", STRUCTURES)
@pytest.mark.parametrize("layers", [1, 5])
def test_structures_at_every_level(builder: type[Structured], layers: int) -> None:
    shape = shape_of(builder, layers)
    want = outputs_of(builder(shape).module())
    looped = builder(shape).module()
    LoopLayersPass().apply(step_context(), looped)
    modules = [looped]
    for workers, mapping in MAPPINGS:
        modules.append(builder(shape).module())
        map_program(modules[-1], workers, mapping=mapping)
    for module in modules:
        read_back = parse_program(print_program(module))
        for a, b in zip(outputs_of(read_back), want, strict=True):
            # One order of summation or another: some units of 2^-24 of values about 1.
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("builder", STRUCTURES)
def test_layers_are_one_loop(builder: type[Structured]) -> None:
    module = builder(shape_of(builder, 8)).module()
    map_program(module, 2)
    (loop,) = (op for op in program_of(module).block.ops if isinstance(op, LoopOp))
    assert loop.trip_count == 8
