"""The host's sampler against the native one, draw by draw."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.codegen.sampling import sample_token
from headrace.codegen.target import Target
from headrace.engine.choice.largest import kth_largest
from headrace.engine.choice.nucleus import nucleus
from headrace.engine.choice.sampler import sample, uniform
from headrace.runtime.schedule import Sampling
from tests.codegen.native import Kernel, Library, build

Floats = NDArray[np.float32]
COUNTS = (37, 5000)

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 5, 36, 1000, 9999]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.1]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    seed=st.integers(-(2**63), 2**63 - 1),
)


@cache
def library() -> Library:
    return build(Target.host(), *map(_sampler, COUNTS))


def _sampler(count: int) -> Kernel:
    return lambda module, features: sample_token(module, features, count)


def native(logits: Floats, sampling: Sampling, position: int) -> int:
    record = np.zeros(abi.SEQUENCE_STRIDE, np.int64)
    for name in ("temperature", "top_p", "min_p"):
        record.view(np.float64)[abi.SEQUENCE_WORDS[name]] = getattr(sampling, name)
    for name in ("top_k", "seed"):
        record[abi.SEQUENCE_WORDS[name]] = getattr(sampling, name)
    scratch = np.zeros(logits.size + 16, np.float32)
    token = library().call(f"sample_{logits.size}", record, position, logits, scratch)
    assert token is not None
    return token


@settings(max_examples=200)
@given(
    sampling=samplings,
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([0.1, 1.0, 4.0, 20.0]),
    count=st.sampled_from(COUNTS),
    levels=st.sampled_from([0, 3, 50]),
)
def test_tokens_are_the_native_ones(
    sampling: Sampling, seed: int, spread: float, count: int, levels: int
) -> None:
    # A token differs only where a random number of 24 bits falls within the rounding of a border
    # (some 1e-7 of the whole), or a border of top_p within that of a sum: once in 1e6 draws.
    logits = np.random.default_rng(seed).normal(0, spread, count).astype(np.float32)
    if levels:  # equal ones
        logits = np.round(logits * levels) / np.float32(levels)
    for position in (0, 1, 77):
        assert sample(logits, sampling, position) == native(logits, sampling, position)


@given(seed=st.integers(-(2**63), 2**63 - 1), position=st.integers(0, 2**31))
def test_random_numbers_are_shares_of_24_bits(seed: int, position: int) -> None:
    share = uniform(seed, position)
    assert 0 <= share < 1
    assert share * 2**24 == int(share * 2**24)


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 700),
    levels=st.integers(1, 400),
    data=st.data(),
)
def test_the_kth_largest(seed: int, count: int, levels: int, data: st.DataObject) -> None:
    values = np.random.default_rng(seed).integers(0, levels, count).astype(np.float32)
    k = data.draw(st.integers(1, count))
    assert kth_largest(values, k) == np.sort(values)[::-1][k - 1]


@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0, 6.0])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.9, 0.999])
def test_the_nucleus_of_many_tokens(spread: float, share: float) -> None:
    logits = np.random.default_rng(3).normal(0, spread, 50_000)
    weights = np.exp(logits - logits.max()).astype(np.float32)
    found = nucleus(weights, share)
    kept = float(weights[weights >= found].sum(dtype=np.float64))
    without = float(weights[weights > found].sum(dtype=np.float64))
    wanted = share * float(weights.sum(dtype=np.float64))
    assert without < wanted * (1 + 1e-6)  # sums of float32, in another order
    assert kept >= wanted * (1 - 1e-6)


def test_what_a_grammar_forbids_is_never_drawn() -> None:
    logits = np.full(1000, -np.inf, np.float32)
    logits[[3, 500]] = 0, 1
    sampling = Sampling(temperature=5.0)
    drawn = {sample(logits, sampling, position) for position in range(100)}
    assert drawn == {3, 500}


@pytest.mark.parametrize("field", ["temperature", "top_p", "min_p"])
@pytest.mark.parametrize("value", [5e-324, 1e-300, 1e-45, 1e-39, 1e-37, 1e-9])
def test_values_near_zero_draw_a_token(field: str, value: float) -> None:
    logits = np.random.default_rng(0).normal(size=COUNTS[0]).astype(np.float32)
    drawn = sample(logits, Sampling(**{"temperature": 1.0, field: value}), 3)
    assert 0 <= drawn < logits.size
    if field != "min_p":
        assert drawn == logits.argmax()
