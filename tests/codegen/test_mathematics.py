"""Elementary functions against float64, within the errors that their series have."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.codegen import mathematics
from tests.codegen.native import EVERY_LOWERING, TARGETS, Library, apply, build, elementwise, ulps

FUNCTIONS = ("exp", "log", "tanh", "erf")


@cache
def library(lowering: str) -> Library:
    kernels = [elementwise(name, getattr(mathematics, name)) for name in FUNCTIONS]
    return build(TARGETS[lowering], *kernels)


def spread(low: float, high: float, count: int = 200_003) -> NDArray[np.float32]:
    return np.linspace(low, high, count, dtype=np.float32)


@pytest.mark.parametrize("lowering", EVERY_LOWERING)
class TestAccuracy:
    def test_exp_is_within_two_ulps(self, lowering: str) -> None:
        x = spread(-87.3, 88.0)
        assert ulps(apply(library(lowering), "exp", x), np.exp(x.astype(np.float64))).max() <= 2

    def test_exp_beyond_its_range(self, lowering: str) -> None:
        x = np.array([-1e30, -88, 0, 88, 89, 1e30, -np.inf, np.inf], np.float32)
        found = apply(library(lowering), "exp", x)
        assert found[0] == found[1] == found[6] == 0
        assert found[2] == 1
        assert found[3] == found[4] == found[5] == found[7]
        assert np.isfinite(found).all()

    def test_log_is_within_two_ulps(self, lowering: str) -> None:
        near, far = spread(0.01, 4.0), np.exp(spread(-87.0, 88.0)).astype(np.float32)
        x = np.concatenate([near, far])
        exact = np.log(x.astype(np.float64))
        found = apply(library(lowering), "log", x)
        # Next to 1 the result is a difference; there the error is that of the last term added.
        assert (np.abs(found - exact) <= 2 * np.spacing(np.maximum(np.abs(found), 2e-3))).all()

    def test_tanh_is_within_three_ulps(self, lowering: str) -> None:
        # Below 0.625 the series' own error, above it exp's two ulps are halved by 1 - 2 / (..).
        x = np.concatenate([spread(-12, 12), np.array([-1e30, 1e30], np.float32)])
        exact = np.tanh(x.astype(np.float64))
        assert ulps(apply(library(lowering), "tanh", x), exact).max() <= 3

    def test_erf_has_the_error_of_its_formula(self, lowering: str) -> None:
        x = spread(-6, 6, 20_001)
        exact = np.array([math.erf(each) for each in x.tolist()])
        # 1.5e-7 of the formula (Abramowitz and Stegun), and a rounding of numbers up to 1.5 at each
        # step of the series, damped by t <= 1: six times half a unit in the last place.
        found = apply(library(lowering), "erf", x)
        assert np.abs(found - exact).max() <= 1.5e-7 + 6 * 2.0**-24
        assert np.abs(found).max() <= 1


@pytest.mark.parametrize("lowering", EVERY_LOWERING[1:])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_lowerings_agree_in_every_bit(lowering: str, name: str) -> None:
    x = spread(1e-3, 80.0) if name == "log" else spread(-80.0, 80.0)
    first, second = (apply(library(each), name, x) for each in ("special", lowering))
    assert np.array_equal(first, second)
