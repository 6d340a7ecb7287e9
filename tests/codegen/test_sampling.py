"""Sampling against a reference that sorts: the set that is kept, and how often each is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.codegen.sampling import largest_index, sample_token
from tests.codegen.native import EVERY_LOWERING, TARGETS, Library, build

Floats = NDArray[np.float32]
VOCABULARIES = (7, 37, 1000, 49157)

pytestmark = pytest.mark.parametrize("lowering", EVERY_LOWERING)


@cache
def library(lowering: str) -> Library:
    def kernels(count: int) -> list:
        return [
            lambda module, features: largest_index(module, features, count),
            lambda module, features: sample_token(module, features, count),
        ]

    return build(TARGETS[lowering], *(each for count in VOCABULARIES for each in kernels(count)))


@dataclass(frozen=True)
class Options:
    """As in `headrace.runtime.schedule.Sampling`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


def draw(lowering: str, logits: Floats, options: Options, seed: int = 0, position: int = 5) -> int:
    record = np.zeros(abi.SEQUENCE_STRIDE, np.int64)
    for name in ("temperature", "top_p", "min_p"):
        record.view(np.float64)[abi.SEQUENCE_WORDS[name]] = getattr(options, name)
    record[abi.SEQUENCE_WORDS["top_k"]] = options.top_k
    record[abi.SEQUENCE_WORDS["seed"]] = seed
    scratch = np.full(logits.size + 16, np.nan, np.float32)
    token = library(lowering).call(f"sample_{logits.size}", record, position, logits, scratch)
    assert token is not None
    return token


def kept(logits: Floats, options: Options) -> NDArray[np.float64]:
    """Probabilities after temperature, top_k, top_p and min_p, in this order, by sorting."""
    scaled = logits.astype(np.float64) / options.temperature
    weights = np.exp(scaled - scaled.max())
    order = np.argsort(-weights, kind="stable")
    alive = np.ones(logits.size, bool)
    if options.top_k:
        alive[order[options.top_k :]] = False
    if options.top_p < 1:
        share = np.cumsum(np.where(alive, weights, 0)[order]) / weights[alive].sum()
        enough = int(np.argmax(share >= options.top_p))
        alive[order[enough + 1 :]] = False
    alive &= weights >= options.min_p
    probabilities = np.where(alive, weights, 0)
    return probabilities / probabilities.sum()


def random_logits(seed: int, count: int) -> Floats:
    """Distinct logits: no two are closer than a thousandth."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(6 / count, count) + 1e-3
    return rng.permutation(np.cumsum(gaps)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), count=st.sampled_from(VOCABULARIES[:3]), levels=st.integers(1, 50)
)
def test_greedy_takes_the_lowest_of_the_largest(
    lowering: str, seed: int, count: int, levels: int
) -> None:
    values = np.random.default_rng(seed).integers(-levels, levels, count).astype(np.float32)
    padded = np.append(values, np.full(16, np.nan, np.float32))
    found = library(lowering).call(f"largest_index_{count}", padded)
    assert found == np.argmax(values)
    assert draw(lowering, values, Options(temperature=0.0)) == np.argmax(values)


options = st.builds(
    Options,
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 2, 5, 36, 5000]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.1]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), options=options, count=st.sampled_from(VOCABULARIES[:2]))
def test_exactly_the_right_set_is_drawn_from(
    lowering: str, seed: int, options: Options, count: int
) -> None:
    logits = random_logits(seed, count)
    probabilities = kept(logits, options)
    drawn = {draw(lowering, logits, options, seed=each) for each in range(150)}
    assert all(probabilities[token] > 0 for token in drawn)
    likely = set(np.flatnonzero(probabilities > 0.12).tolist())
    assert likely <= drawn  # one is missed with a chance below 0.88 ** 150 = 5e-9


@pytest.mark.parametrize(
    "options",
    [
        Options(0.7),
        Options(1.0),
        Options(1.5),
        Options(1.0, top_k=9),
        Options(1.2, top_p=0.8),
        Options(1.0, min_p=0.2),
        Options(0.9, top_k=20, top_p=0.9, min_p=0.02),
    ],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_should(lowering: str, options: Options) -> None:
    draws = 4000
    logits = random_logits(3, 37)
    expected = kept(logits, options) * draws
    found = np.bincount(
        [draw(lowering, logits, options, seed=s) for s in range(draws)], minlength=37
    )
    often = expected >= 5
    rest = found[~often].sum(), expected[~often].sum()
    squares = (found[often] - expected[often]) ** 2 / expected[often]
    statistic = squares.sum() + (rest[0] - rest[1]) ** 2 / max(rest[1], 1)
    freedom = int(often.sum())
    # Mean `freedom`, variance 2 * freedom; five standard deviations above.
    assert statistic <= freedom + 5 * np.sqrt(2 * freedom)


def test_seed_and_position_decide(lowering: str) -> None:
    logits = random_logits(1, 1000)
    first = [
        draw(lowering, logits, Options(), seed, position)
        for seed in (1, 2)
        for position in range(40)
    ]
    again = [
        draw(lowering, logits, Options(), seed, position)
        for seed in (1, 2)
        for position in range(40)
    ]
    assert first == again
    assert len(set(first)) > 30
    assert first[:40] != first[40:]
    assert draw(lowering, logits, Options(), -(2**63)) != draw(
        lowering, logits, Options(), 2**63 - 1
    )


def uniform(seed: int, position: int) -> float:
    """The random number of a seed and a position: splitmix64 (Steele et al. 2014), 24 bits."""
    state = seed + (position + 1) * 0x9E3779B97F4A7C15
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state &= 2**64 - 1
        state = (state ^ (state >> shift)) * factor
    state &= 2**64 - 1
    return ((state ^ (state >> 31)) >> 40) / 2**24


def test_draws_invert_the_distribution(lowering: str) -> None:
    count = VOCABULARIES[-1]
    logits = random_logits(4, count)
    shares = np.append(0, np.cumsum(kept(logits, Options())))
    seeds = [*range(200), *sorted(range(200_000), key=lambda seed: uniform(seed, 5))[-20:]]
    for seed in seeds:
        token = draw(lowering, logits, Options(), seed)
        assert shares[token] - 1e-7 <= uniform(seed, 5) <= shares[token + 1] + 1e-7


def test_lowerings_draw_the_same(lowering: str) -> None:
    logits = random_logits(2, 1000)
    for seed in range(50):
        assert draw(lowering, logits, Options(), seed) == draw("plain", logits, Options(), seed)


def test_impossible_tokens_are_never_drawn(lowering: str) -> None:
    logits = np.full(1000, -np.inf, np.float32)
    logits[[3, 500]] = 0
    assert {draw(lowering, logits, Options(), seed) for seed in range(200)} == {3, 500}


def test_ties_at_the_edge_of_top_k_all_stay(lowering: str) -> None:
    logits = np.zeros(37, np.float32)
    logits[5] = 3
    drawn = {draw(lowering, logits, Options(2.0, top_k=2), seed) for seed in range(600)}
    assert drawn == set(range(37))
