"""Conversion to other formats: never worse than the reference rounding, whatever the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headrace.errors import UnsupportedModelError
from headrace.formats.quantise import convert
from headrace.formats.storage import FORMATS

SEARCHED = ("q4_0", "q8_0")
#: Finite, and within what f16 scales can reach: 65504 times 7.
VALUES = st.floats(-4e5, 4e5, width=32)


def errors(values: np.ndarray, raw: np.ndarray, format: str) -> np.ndarray:
    """Sums of squared errors, one a group."""
    rest = FORMATS[format].dequantise(raw, values.shape[1]).astype(np.float64) - values
    rest = np.pad(rest, ((0, 0), (0, -rest.shape[1] % 32)))
    return (rest.reshape(-1, 32) ** 2).sum(axis=1)


@pytest.mark.parametrize("format", SEARCHED)
@settings(max_examples=150, deadline=None)
@given(
    values=arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=70), elements=VALUES
    )
)
def test_never_worse_than_the_reference(format: str, values: np.ndarray) -> None:
    raw = convert(values, FORMATS[format])
    assert raw.shape == (len(values), FORMATS[format].row_bytes(values.shape[1]))
    with np.errstate(all="ignore"):  # its scales may be infinite
        reference = errors(values, FORMATS[format].quantise(values), format)
    # Errors are compared in float32, whose rounding of 32 squares is below 1e-5.
    scale = np.pad(values, ((0, 0), (0, -values.shape[1] % 32))).reshape(-1, 32)
    slack = 1e-6 * (scale.astype(np.float64) ** 2).sum(axis=1) + 1e-30
    found = errors(values, raw, format)
    assert np.all((found <= reference * (1 + 1e-5) + slack) | ~np.isfinite(reference))
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("format", "share"), [("q4_0", 0.9), ("q8_0", 0.8)])
def test_the_error_of_weights_shrinks(format: str, share: float) -> None:
    """Of normally distributed weights, by a tenth and more of the squared error."""
    values = np.random.default_rng(0).standard_normal((64, 1000), np.float32) * np.float32(0.02)
    reference = errors(values, FORMATS[format].quantise(values), format).sum()
    assert errors(values, convert(values, FORMATS[format]), format).sum() < share * reference


@pytest.mark.parametrize("format", SEARCHED)
def test_codes_stay_in_range(format: str) -> None:
    values = np.random.default_rng(1).standard_t(2, (40, 320)).astype(np.float32)
    blocks = convert(values, FORMATS[format]).reshape(-1, FORMATS[format].block_bytes)
    if format == "q8_0":  # ggml never writes -128
        assert blocks[:, 2:].view(np.int8).min() >= -127
    assert np.isfinite(blocks[:, :2].copy().view(np.float16)).all()


@pytest.mark.parametrize("format", SEARCHED)
def test_exact_values_stay_exact(format: str) -> None:
    """Quantising what was quantised changes nothing but perhaps the sign of the scale."""
    values = np.random.default_rng(2).standard_normal((16, 128), np.float32)
    once = FORMATS[format].dequantise(convert(values, FORMATS[format]), 128)
    twice = FORMATS[format].dequantise(convert(once, FORMATS[format]), 128)
    rest, size = np.abs(once - twice).sum(), np.abs(once).sum()
    assert rest <= 1e-3 * size


@pytest.mark.parametrize("format", ["f32", "f16", "bf16", "q4_1"])
def test_other_formats_round_as_their_references_do(format: str) -> None:
    values = np.random.default_rng(3).standard_normal((4, 64), np.float32)
    np.testing.assert_array_equal(
        convert(values, FORMATS[format]), FORMATS[format].quantise(values)
    )


@pytest.mark.parametrize("format", SEARCHED)
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_an_error(format: str, odd: float) -> None:
    values = np.ones((2, 64), np.float32)
    values[1, 40] = odd
    with pytest.raises(UnsupportedModelError, match="not finite"):
        convert(values, FORMATS[format])
