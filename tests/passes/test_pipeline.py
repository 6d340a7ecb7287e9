"""Whole pipelines: mapped programs compute what was captured, and no worker races another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from headrace.errors import ProgramError
from headrace.ir.dialect import parse_program, print_program, step_context
from headrace.machine.description import load_machine
from headrace.passes import ALL_PASSES
from headrace.passes.pipeline import map_program, mapping_passes
from headrace.passes.programs import program_of
from tests.passes.decoder import SMOLLM2, Decoder, DecoderBuilder, captured
from tests.passes.running import outputs_of
from tests.passes.test_fuse_stages import Parallel


def check(
    builder: type[DecoderBuilder],
    shape: Decoder,
    workers: int,
    seeds: int = 1,
    mapping: str = "rows",
) -> None:
    want = outputs_of(builder(shape).module())
    module = builder(shape).module()
    map_program(module, workers, mapping=mapping)
    for seed in range(seeds):
        for a, b in zip(outputs_of(module, seed), want, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_families(family: str, layers: int, workers: int) -> None:
    windows = (3, 0) if family == "gemma3" else (0,)
    check(DecoderBuilder, Decoder(family=family, layers=layers, windows=windows), workers, 2)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("workers", [2, 3])
def test_families_by_columns(family: str, workers: int) -> None:
    shape = Decoder(family=family, kv_heads=4, head=32, windows=(3, 0))
    check(DecoderBuilder, shape, workers, 2, "columns")


class Mixed(DecoderBuilder):
    """Layers of two families: what one leaves shared, the other wants private."""

    families = ("llama", "llama", "gemma3", "gemma3", "llama", "llama")

    def layer(self, x, layer):
        self.shape = replace(self.shape, family=self.families[layer])
        return super().layer(x, layer)


@pytest.mark.parametrize("builder", [Mixed, Parallel])
@pytest.mark.parametrize(("workers", "mapping"), [(2, "rows"), (3, "rows"), (2, "columns")])
def test_unusual_structures(builder: type[DecoderBuilder], workers: int, mapping: str) -> None:
    check(builder, Decoder(layers=6), workers, 2, mapping)


@settings(max_examples=15, deadline=None)
@given(
    family=st.sampled_from(["llama", "qwen3", "gemma3"]),
    layers=st.integers(1, 4),
    split=st.integers(0, 4),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 3),
    head=st.sampled_from([8, 16, 32]),
    ffn=st.integers(1, 4),
    workers=st.integers(1, 6),
    mapping=st.sampled_from(["rows", "columns"]),
)
def test_random_shapes(
    family: str,
    layers: int,
    split: int,
    kv_heads: int,
    group: int,
    head: int,
    ffn: int,
    workers: int,
    mapping: str,
) -> None:
    shape = Decoder(
        family=family,
        layers=layers,
        heads=kv_heads * group,
        kv_heads=kv_heads,
        head=head,
        format="f32",
        windows=(2, 0),
        ffn_of_layer=lambda layer: 24 * ffn if layer < split else 40,
    )
    check(DecoderBuilder, shape, workers, mapping=mapping)


def test_text_reads_back_after_every_pass() -> None:
    seen: list[str] = []

    def observe(name: str, module: ModuleOp) -> None:
        text = print_program(module)
        assert print_program(parse_program(text)) == text
        seen.append(name)

    map_program(captured(Decoder(family="gemma3")), 2, observer=observe)
    assert seen == list(ALL_PASSES)


def test_a_program_read_back_at_any_level_maps_to_the_same() -> None:
    module = captured(Decoder(windows=(4, 0)))
    texts = [print_program(module)]
    map_program(module, 3, observer=lambda _, each: texts.append(print_program(each)))
    for index, each in enumerate(mapping_passes(3)):
        again = parse_program(texts[index])
        each.apply(step_context(), again)
        assert print_program(again) == texts[index + 1]


def test_machines_give_their_cores() -> None:
    machine = load_machine("epyc-zen5-2core")
    by_machine, by_count = captured(Decoder()), captured(Decoder())
    map_program(by_machine, machine, mapping="rows")
    map_program(by_count, machine.cores, mapping="rows")
    assert print_program(by_machine) == print_program(by_count)


def test_the_registry_names_the_passes() -> None:
    for name, load in ALL_PASSES.items():
        assert issubclass(load(), ModulePass)
        assert load().name == name


def test_smollm2_maps_quickly_to_one_loop() -> None:
    module = captured(SMOLLM2)
    map_program(module, 2)
    assert [op.name for op in program_of(module).block.ops] == [
        "step.stage",
        "step.loop",
        "step.stage",
        "step.stage",
        "step.return",
    ]


def test_a_module_without_program_is_an_error() -> None:
    with pytest.raises(ProgramError, match="this one has 0"):
        map_program(ModuleOp([]), 2)
