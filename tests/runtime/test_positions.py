"""What positions choose: rows of a learned table, and rotary frequencies for long contexts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ContextLengthError
from headrace.ir.program_ops import FrequenciesOp, ProgramOp
from tests.passes.decoder import Decoder
from tests.passes.structures import Learned, Structured
from tests.runtime.native import Native

SHAPE = Decoder(layers=1, format="f32")
SHORT, CONTEXT = 16, 32


class Long(Structured):
    """Phi-3: other frequencies, and larger cosines and sines, with a context beyond 16."""

    def frequencies(self) -> list[FrequenciesOp]:
        (table,) = super().frequencies()
        values = [value / 3 for value in table.values.data]
        long = FrequenciesOp(
            "rope0", table.values.data, 1.0, beyond=SHORT, long_values=values, long_scale=1.2
        )
        return [long]


@cache
def long() -> Native:
    return Native(Long(SHAPE).module(), 1)


@cache
def learned() -> Native:
    """A table of 32 positions in a model that was made for more."""
    return Native(with_context(Learned(SHAPE).module(), 1000), 2)


@pytest.mark.parametrize("context", [SHORT, SHORT + 1, CONTEXT])
def test_the_context_chooses_frequencies(context: int) -> None:
    native = long()
    expected = native.reference(SHORT, context)
    # Sums of some hundred float32 terms in another order.
    assert np.allclose(native.logits([SHORT - 1, 1], context), expected, atol=1e-4)
    other = native.reference(SHORT, CONTEXT if context == SHORT else SHORT)
    assert np.abs(other - expected).max() > 1e-2


def with_context(module: ModuleOp, context: int) -> ModuleOp:
    """A program of a model that was made for another number of positions."""
    (program,) = (op for op in module.ops if isinstance(op, ProgramOp))
    changed = ProgramOp("main", context, program.detach_region(program.body))
    program.detach()
    module.body.block.add_op(changed)
    return module


def test_a_learned_table_bounds_the_context() -> None:
    native = learned()
    assert native.manifest.context == 32
    with native.open() as program:
        assert program.context == 32
    with pytest.raises(ContextLengthError, match="1 to the model's 32"):
        native.open(33)
    last = native.logits([20, 12])
    assert np.allclose(last, native.reference(32), atol=1e-4)


def test_tables_lie_one_after_the_other() -> None:
    tokens, positions = learned().manifest.rows
    assert (tokens.name, tokens.at, tokens.rows) == ("wte.weight", 0, 100)
    assert (positions.name, positions.rows) == ("wpe.weight", 32)
    assert positions.at >= tokens.bytes
