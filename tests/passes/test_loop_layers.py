from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.dialect import parse_program, print_program, step_context
from headrace.ir.mapping_ops import LoopOp
from headrace.ir.program_ops import WeightOp
from headrace.passes.layer_pattern import Indexed, Invariant, indexed_weight
from headrace.passes.loop_layers import LoopLayersPass
from headrace.passes.programs import program_of
from tests.passes.decoder import SMOLLM2, Decoder, DecoderBuilder, captured
from tests.passes.running import outputs_of


def looped(module: ModuleOp) -> ModuleOp:
    LoopLayersPass().apply(step_context(), module)
    module.verify()
    return parse_program(print_program(module))


def loops(module: ModuleOp) -> list[LoopOp]:
    return [op for op in program_of(module).block.ops if isinstance(op, LoopOp)]


def trips(module: ModuleOp) -> list[int]:
    return [loop.trip_count for loop in loops(module)]


def test_thirty_layers_of_smollm2_become_one_loop() -> None:
    module = looped(captured(SMOLLM2))
    (loop,) = loops(module)
    assert loop.trip_count == 30
    assert len(loop.inits) == 1
    weights = [op for op in loop.block.ops if isinstance(op, WeightOp)]
    assert all(op.layers is not None and op.layers.data == tuple(range(30)) for op in weights)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3"])
def test_the_loop_computes_what_the_layers_did(family: str) -> None:
    shape = Decoder(family=family, windows=(3, 0) if family == "gemma3" else (0,))
    for want, got in zip(
        outputs_of(captured(shape)), outputs_of(looped(captured(shape))), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_local_and_global_layers_share_a_loop_with_tables() -> None:
    module = looped(captured(Decoder(family="gemma3", layers=8, windows=(8, 8, 8, 8, 8, 0))))
    (loop,) = loops(module)
    (attention,) = (op for op in loop.block.ops if isinstance(op, AttentionOp))
    assert attention.windows.data == (8, 8, 8, 8, 8, 0, 8, 8)
    for op in loop.block.ops:
        if isinstance(op, RopeOp):
            assert [name == "rope0" for name in op.table_names()] == [i == 5 for i in range(8)]
        if isinstance(op, AppendOp):
            assert op.layers.data == tuple(range(8))


def test_equal_windows_stay_one_entry() -> None:
    (loop,) = loops(looped(captured(Decoder(layers=4))))
    assert [op.windows.data for op in loop.block.ops if isinstance(op, AttentionOp)] == [(0,)]


def test_one_layer_stays_straight() -> None:
    module = captured(Decoder(layers=1))
    before = print_program(module)
    assert print_program(looped(module)) == before


@pytest.mark.parametrize(
    ("layers", "split", "want"), [(5, 2, [2, 3]), (4, 1, [3]), (5, 4, [4]), (6, 3, [3, 3])]
)
def test_two_runs_of_layers(layers: int, split: int, want: list[int]) -> None:
    shape = Decoder(layers=layers, ffn_of_layer=lambda layer: 96 if layer < split else 64)
    assert trips(looped(captured(shape))) == want
    for a, b in zip(outputs_of(captured(shape)), outputs_of(looped(captured(shape))), strict=True):
        np.testing.assert_array_equal(a, b)


def test_alternating_layers_roll_with_their_period() -> None:
    shape = Decoder(layers=6, ffn_of_layer=lambda layer: 96 if layer % 2 else 64)
    (loop,) = loops(looped(captured(shape)))
    assert loop.trip_count == 3
    assert [op.layers.data for op in loop.block.ops if isinstance(op, AppendOp)] == [
        (0, 2, 4),
        (1, 3, 5),
    ]


class WithFirstLayersValue(DecoderBuilder):
    """Every layer adds what the first layer gave: carried and invariant at once."""

    first = None

    def layer(self, x, layer):
        result = super().layer(x, layer)
        if self.first is None:
            self.first = result
            return result
        return self.add(result, self.first)


class WithLeakingLayer(DecoderBuilder):
    """The head adds what the second layer gave: the loop must not hide it."""

    def layer(self, x, layer):
        result = super().layer(x, layer)
        if layer == 1:
            self.second = result
        return self.add(result, self.second) if layer == self.shape.layers - 1 else result


@pytest.mark.parametrize("builder", [WithFirstLayersValue, WithLeakingLayer])
def test_values_from_other_layers_survive(builder: type[DecoderBuilder]) -> None:
    shape = Decoder(layers=5)
    want, module = outputs_of(builder(shape).module()), looped(builder(shape).module())
    for a, b in zip(want, outputs_of(module), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_weight_shared_by_all_layers_is_invariant() -> None:
    class Shared(DecoderBuilder):
        def norm(self, x, name):
            return super().norm(x, "shared" if name.endswith("input_layernorm") else name)

    module = looped(Shared(Decoder()).module())
    (loop,) = loops(module)
    names = [op.weight_name.data for op in loop.block.ops if isinstance(op, WeightOp)]
    assert "shared.weight" in names
    assert trips(module) == [3]


def names_follow(*names: str) -> Indexed | Invariant | None:
    like = DecoderBuilder(Decoder())
    return indexed_weight([like.weight(name, 32) for name in names])


def test_names_of_weights() -> None:
    assert names_follow("h.9.a", "h.10.a") == Indexed("h.{}.a", (9, 10))
    assert names_follow("h.1.a2.w", "h.3.a2.w") == Indexed("h.{}.a2.w", (1, 3))
    assert isinstance(names_follow("h.w", "h.w"), Invariant)
    assert names_follow("h.1.a", "h.2.b") is None
    assert names_follow("h.1.e.1", "h.2.e.2") is None
    assert names_follow("h.01.a", "h.02.a") is None
    assert names_follow("h.{}.1", "h.{}.2") is None
    assert names_follow("q.w", "k.w") is None


def test_a_table_outside_of_loops_is_an_error() -> None:
    module = captured(replace(Decoder(), layers=1))
    for op in program_of(module).block.ops:
        if isinstance(op, AttentionOp):
            op.windows = type(op.windows).of([0, 8])
    with pytest.raises(ProgramError, match="'windows' has several entries outside of a loop"):
        looped(module)
