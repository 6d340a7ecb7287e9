from __future__ import annotations

import pytest
from xdsl.dialects.builtin import ArrayAttr

from headrace.errors import ProgramError
from headrace.ir.dialect import step_context
from headrace.ir.stages import stage_name
from headrace.passes.plan_memory import PlanMemoryPass
from headrace.passes.programs import stages_of
from tests.passes.decoder import Decoder
from tests.passes.test_order_tokens import mapped


def buffers(shape: Decoder, workers: int = 2) -> dict[str, list[tuple[str, int]]]:
    return {
        stage_name(stage): [(b.storage.data, b.slot.data) for b in stage.buffers]
        for stage in stages_of(mapped(shape, workers))
    }


def test_buffers_of_a_llama() -> None:
    assert buffers(Decoder()) == {
        "embed": [("shared", 0)],
        "qkv": [("shared", 1), ("cache", 0)],
        "attention": [("partial", 0)],
        "out": [("shared", 1)],
        "gate_up": [("shared", 2)],
        "down": [("shared", 0)],
        "head": [("shared", 1)],
        "sample": [("shared", 3)],
    }


def test_the_carried_value_has_one_slot() -> None:
    found = buffers(Decoder(family="gemma3"))
    assert found["embed"] == found["merge"] == [("private", 0)]
    assert found["gate_up"] == [("private", 1), ("shared", 1)]


def test_many_straight_layers_need_no_more_slots() -> None:
    shape = Decoder(layers=8, ffn_of_layer=lambda layer: 32 * layer + 32)
    slots = {each for places in buffers(shape).values() for each in places}
    assert slots == {("shared", n) for n in range(4)} | {("partial", 0), ("cache", 0)}


def test_overwriting_needs_edges() -> None:
    """Without edges nobody knows that the carried value has been read."""
    module = mapped(Decoder(), 2)
    for stage in stages_of(module):
        stage.after = ArrayAttr([])
    with pytest.raises(ProgramError, match="a loop carries both in one buffer"):
        PlanMemoryPass().apply(step_context(), module)
