"""Tables and heads of different numbers of tokens: those that both have can be fed and sampled."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.ir import SSAValue

from headrace.errors import RequestError
from tests.passes.decoder import Decoder
from tests.passes.structures import Structured
from tests.runtime.driving import generate, ids
from tests.runtime.native import Native

TABLE = 70


class OtherHead(Structured):
    """A head of more or fewer rows than the tokens' table."""

    head_rows = TABLE

    def linear(self, x: SSAValue, name: str, rows: int, bias: bool | None = None) -> SSAValue:
        return super().linear(x, name, self.head_rows if name == "lm_head" else rows, bias)


@pytest.mark.parametrize(("rows", "common"), [(50, 50), (100, TABLE)])
def test_common_tokens(rows: int, common: int) -> None:
    builder = OtherHead(Decoder(layers=1, vocabulary=TABLE, format="f32"))
    builder.head_rows = rows
    native = Native(builder.module(), 2)
    assert native.manifest.vocabulary == common
    expected = native.reference(9)[:, :common]
    # Sums of some hundred float32 terms in another order.
    assert np.allclose(native.logits([9]), expected, atol=1e-4)
    with native.open() as program:
        assert generate(program, ids(9, common), 1) == [int(expected[-1].argmax())]
        with pytest.raises(RequestError, match=f"0 to {common - 1}"):
            generate(program, np.array([common], np.int32), 1)
