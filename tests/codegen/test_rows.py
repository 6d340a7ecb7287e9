"""Rows of embeddings as stored against NumPy; what lies beyond a row is NaN."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from llvmlite import ir

from headrace.checkpoint.formats import FORMATS, storage_format
from headrace.codegen.rows import dequantise_row
from headrace.errors import UnsupportedFormatError
from tests.codegen.native import LOWERINGS, TARGETS, Kernel, Library, build

GUARD = 32


def embedding_kernel(format: str, cols: int) -> Kernel:
    def kernel(module: ir.Module, features: frozenset[str]) -> ir.Function:
        return dequantise_row(module, features, format, cols)

    return kernel


def embedding_cols(format: str) -> tuple[int, ...]:
    return (32, 96) if storage_format(format).block > 1 else (8, 32, 45)


@cache
def library(lowering: str) -> Library:
    names = ((name, cols) for name in FORMATS for cols in embedding_cols(name))
    return build(TARGETS[lowering], *(embedding_kernel(*each) for each in names))


pytestmark = pytest.mark.parametrize("lowering", LOWERINGS)


@pytest.mark.parametrize("format", FORMATS)
def test_embedding_rows_are_exact(lowering: str, format: str) -> None:
    stored = storage_format(format)
    for cols in embedding_cols(format):
        values = np.random.default_rng(cols).standard_normal((3, cols))
        raw = stored.quantise(10 * values.astype(np.float32))
        out = np.full((3, cols + GUARD), np.nan, np.float32)
        for row in range(3):
            library(lowering).call(f"dequantise_{format}_{cols}", raw[row], out[row])
        expected = stored.dequantise(raw, cols)
        # q4_1 adds scale * value and minimum: one rounding more than NumPy's at most.
        assert np.allclose(
            out[:, :cols], expected, rtol=2.0**-22 if format == "q4_1" else 0, atol=0
        )
        assert np.isnan(out[:, cols:]).all()


def test_an_unknown_embedding_format(lowering: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="q6_k"):
        build(TARGETS[lowering], embedding_kernel("q6_k", 32))
