"""One program at every level: the same text back, the same numbers, and every edge that counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ArrayAttr, ModuleOp

from headrace.errors import ProgramError
from headrace.ir.dialect import parse_program, print_program
from headrace.ir.interpreter import Interpreter
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import stage_name
from headrace.passes.pipeline import map_program
from tests.ir.decoders import Decoder, decoders, program_of


def mapped(decoder: Decoder, workers: int) -> ModuleOp:
    module = program_of(decoder)
    map_program(module, workers)
    return module


def logits(module: ModuleOp, decoder: Decoder, seed: int = 0) -> np.ndarray:
    """Of a prefill of two sequences, a decode step of one, and one of both."""
    machine = Interpreter(module, decoder.weights().__getitem__, seed=seed)
    last = decoder.vocabulary - 1
    steps = [
        ([0, last, 1, 0, last], [0, 1, 2, 0, 1], [0, 0, 0, 1, 1], [2, 4]),
        ([1], [3], [0], [0]),
        ([last, 0], [4, 2], [0, 1], [1, 0]),
    ]
    return np.concatenate([machine.step(*step)[0] for step in steps])


@settings(deadline=None, max_examples=25)
@given(decoders(), st.integers(1, 4), st.integers(0, 2**31))
def test_mapped_programs_give_the_captured_logits(
    decoder: Decoder, workers: int, seed: int
) -> None:
    module = mapped(decoder, workers)
    expected = logits(program_of(decoder), decoder)
    np.testing.assert_allclose(logits(module, decoder, seed), expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(decoders(), st.integers(0, 4))
def test_text_comes_back(decoder: Decoder, workers: int) -> None:
    """Captured where there are no workers, looped with one, mapped with more."""
    module = mapped(decoder, workers) if workers else program_of(decoder, looped=True)
    text = print_program(module)
    assert print_program(parse_program(text)) == text
    assert print_program(program_of(decoder)) == print_program(program_of(decoder))


def edges(module: ModuleOp) -> list[tuple[str, int]]:
    stages = [op for op in module.walk() if isinstance(op, StageOp)]
    return [(stage_name(s), n) for s in stages for n in range(len(s.after or ()))]


def without_edge(module: ModuleOp, name: str, number: int) -> ModuleOp:
    for op in module.walk():
        if isinstance(op, StageOp) and stage_name(op) == name and op.after is not None:
            op.after = ArrayAttr(e for i, e in enumerate(op.after.data) if i != number)
    return module


@pytest.mark.parametrize("post_norm", [False, True])
def test_no_edge_is_there_for_nothing(post_norm: bool) -> None:
    decoder = Decoder(post_norm=post_norm)
    for name, number in edges(mapped(decoder, 2)):
        module = without_edge(mapped(decoder, 2), name, number)
        with pytest.raises(ProgramError):
            logits(module, decoder)
