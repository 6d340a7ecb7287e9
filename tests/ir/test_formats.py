"""What a program keeps in fewer bits: exact by default, rounded on request."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from xdsl.dialects.builtin import ModuleOp, StringAttr

from headrace.ir.attention_ops import AppendOp
from headrace.ir.interpreter import Interpreter
from headrace.ir.interpreter.arrays import round_to_q8
from headrace.ir.model_ops import LinearOp
from tests.ir.decoders import Decoder, program_of

FLOATS = st.floats(-1000, 1000, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 3), st.sampled_from([32, 64])), elements=FLOATS))
def test_eight_bits_a_value(x: np.ndarray) -> None:
    rounded = round_to_q8(x)
    blocks, exact = rounded.reshape(-1, 32), x.reshape(-1, 32)
    largest = np.abs(exact).max(axis=-1, keepdims=True)
    assert np.all(np.abs(blocks - exact) <= largest / 127 * 0.501 + 1e-30)
    np.testing.assert_allclose(
        np.abs(blocks).max(axis=-1, keepdims=True), largest, rtol=1e-5, atol=1e-36
    )
    assert all(len(np.unique(np.abs(block))) <= 128 for block in blocks)


def with_formats(module: ModuleOp) -> ModuleOp:
    for op in module.walk():
        if isinstance(op, LinearOp):
            op.activation = StringAttr("q8")
        elif isinstance(op, AppendOp):
            op.format = StringAttr("f16")
    return module


def logits(module: ModuleOp, quantise: bool) -> np.ndarray:
    weights = Decoder().weights().__getitem__
    machine = Interpreter(module, weights, quantise_activations=quantise)
    return machine.step(range(8), range(8), [0] * 8, range(8))[0]


def test_formats_are_exact_unless_asked_for() -> None:
    exact = logits(program_of(Decoder()), quantise=False)
    np.testing.assert_array_equal(logits(with_formats(program_of(Decoder())), False), exact)
    rounded = logits(with_formats(program_of(Decoder())), quantise=True)
    error = np.abs(rounded - exact).max()
    assert 1e-4 < error < 0.2
