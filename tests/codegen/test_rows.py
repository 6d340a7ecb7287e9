"""Single rows of stored weights as float32: the bits of the exact decoding."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codegen.rows import dequantise_row
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import storage_format
from tests.codegen.native import TARGETS, Kernel, Library, build, marks
from tests.codegen.test_layout import FORMATS

#: Columns: within a block, whole blocks, several blocks and a part of one.
COLS = (5, 256, 360)
#: What is compiled plainly too: each kind of number, and the conversions that a target may lack.
PLAIN = ("q5_0", "q6_k", "iq4_xs", "mxfp4", "f8_g64", "bf16")
CASES = [
    *(("special", name) for name in FORMATS),
    *(("plain", name) for name in PLAIN),
    *(pytest.param("neon", name, marks=marks("neon", slow=True)) for name in FORMATS),
]


@cache
def library(lowering: str, name: str) -> Library:
    target = TARGETS[lowering]
    return build(target, *(_kernel(name, cols) for cols in COLS))


def _kernel(name: str, cols: int) -> Kernel:
    return lambda module, features: dequantise_row(module, features, name, cols)


@pytest.mark.parametrize(("lowering", "name"), CASES)
@settings(max_examples=10, deadline=None)
@given(cols=st.sampled_from(COLS), seed=st.integers(0, 2**32))
def test_rows_are_exact(lowering: str, name: str, cols: int, seed: int) -> None:
    stored = storage_format(name)
    raw = random_matrix(np.random.default_rng(seed), stored, 3, cols)
    for row, expected in zip(raw, stored.dequantise(raw, cols), strict=True):
        out = np.full(cols + 16, np.nan, np.float32)
        library(lowering, name).call(f"dequantise_{name}_{cols}", row, out)
        assert np.array_equal(out[:cols], expected)
        assert np.isnan(out[cols:]).all()
