"""Attention over a paged KV cache against softmax in float64; what is not valid is NaN."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.codegen.attending import CONTEXT, LAYERS, Case, Floats, Segment, Sequences
from tests.codegen.native import marks

CASES = (
    Case("special", 1, 4, 2, 16, 16, "f16"),
    Case("special", 2, 9, 3, 64, 64, "f16"),
    Case("special", 3, 6, 6, 8, 8, "f32"),
    Case("special", 4, 5, 1, 24, 40, "f16"),
    Case("special", 2, 14, 2, 72, 72, "f32"),
    Case("plain", 2, 4, 2, 24, 16, "f16"),
    Case("plain", 1, 3, 1, 16, 24, "f32"),
    Case("special", 2, 4, 2, 20, 20, "f32", softcap=3.0),
    Case("special", 3, 6, 2, 80, 96, "f16", slopes=True),
    Case("special", 3, 7, 1, 112, 64, "f16", sinks=True),
    Case("special", 4, 8, 2, 12, 20, "f32", softcap=2.0, slopes=True, sinks=True),
    Case("plain", 2, 2, 2, 20, 12, "f16", softcap=2.0, slopes=True, sinks=True),
    Case("special", 2, 8, 2, 64, 64, "q8"),
    Case("special", 3, 6, 3, 24, 40, "q8", softcap=3.0, slopes=True, sinks=True),
    Case("plain", 2, 4, 2, 20, 16, "q8"),
    Case("special", 2, 7, 1, 64, 48, "bf16"),
    Case("plain", 2, 4, 2, 16, 24, "bf16"),
    Case("special", 2, 4, 1, 256, 256, "f16"),
)

#: What registers of half the size are given too, and what those of a quarter are.
AVX2 = [replace(case, lowering="avx2") for case in (CASES[1], CASES[8], CASES[10])]
ARM = [replace(case, lowering="neon") for case in CASES if case.lowering == "special"]

PARAMETERS = [
    *CASES[:-1],
    pytest.param(CASES[-1], marks=pytest.mark.slow),  # it takes long to compile
    *AVX2,
    *(pytest.param(case, marks=marks("neon", slow=case.heads != 4)) for case in ARM[:-1]),
]


def check(case: Case, length: int, first: int, layer: int, window: int, seed: int) -> None:
    sequences = Sequences(case, [length], seed)
    segment = 0, first, length - first
    found = sequences.step([segment], layer, window)
    expected = sequences.expected(segment, layer, window)
    # Scores of size up to 6 are off by some 2^-22; results are means of values of size up to 4.
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("case", PARAMETERS, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    length=st.integers(1, CONTEXT),
    layer=st.integers(0, LAYERS - 1),
    window=st.sampled_from([0, 1, 7, 64, 100]),
    seed=st.integers(0, 2**32),
)
def test_one_token(case: Case, length: int, layer: int, window: int, seed: int) -> None:
    check(case, length, length - 1, layer, window, seed)


@pytest.mark.parametrize("case", PARAMETERS, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    first=st.integers(0, CONTEXT - 40),
    tokens=st.integers(2, 40),
    layer=st.integers(0, LAYERS - 1),
    window=st.sampled_from([0, 1, 7, 64, 100]),
    seed=st.integers(0, 2**32),
)
def test_many_tokens(
    case: Case, first: int, tokens: int, layer: int, window: int, seed: int
) -> None:
    check(case, first + tokens, first, layer, window, seed)


@pytest.mark.parametrize("case", CASES[:4], ids=str)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 63, 64, 65, 128, 129, CONTEXT])
def test_lengths_at_the_edges_of_groups_and_blocks(case: Case, length: int) -> None:
    check(case, length, length - 1, 0, 0, length)
    if length > 1:
        check(case, length, 0, 1, 16, length)


def test_large_scores_do_not_overflow() -> None:
    sequences = Sequences(CASES[0], [80], 0)
    sequences.keys *= 1000
    sequences.round()
    segment = 0, 79, 1
    found = sequences.step([segment], 0, 0)
    assert np.abs(found - sequences.expected(segment, 0, 0)).max() <= 1e-3


@st.composite
def batches(draw: st.DrawFn, count: int, rows: int) -> list[Segment]:
    """Segments of different sequences, of one row or of several."""
    slots = draw(st.permutations(range(count)))[: draw(st.integers(1, count))]
    segments: list[Segment] = []
    for slot in slots:
        size = draw(st.one_of(st.just(1), st.integers(1, rows)))
        segments.append((slot, draw(st.integers(0, CONTEXT - size)), size))
    return segments


@pytest.mark.parametrize("case", PARAMETERS, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    segments=batches(3, 20),
    layer=st.integers(0, LAYERS - 1),
    window=st.sampled_from([0, 1, 7, 64, 100]),
)
def test_a_row_has_the_same_bits_alone_and_in_any_company(
    case: Case, segments: list[Segment], layer: int, window: int
) -> None:
    """Rows of decoding sequences and of chunks of prompts, beside each other, in any division."""
    sequences = full(case)
    found = sequences.step(segments, layer, window)
    alone = [
        sequences.step([(slot, position, 1)], layer, window)
        for slot, first, count in segments
        for position in range(first, first + count)
    ]
    np.testing.assert_array_equal(bits(found), bits(np.concatenate(alone)))


@cache
def full(case: Case) -> Sequences:
    """Three sequences that fill the cache."""
    return Sequences(case, [CONTEXT] * 3, 0)


def bits(values: Floats) -> NDArray[np.int32]:
    return values.view(np.int32)


def test_items_are_enough_for_many_segments() -> None:
    """64 rows of 3 sequences in turn, each a segment of its own, and long ones between."""
    sequences = full(CASES[1])
    segments = [(index % 3, 3 * index, 1 + 20 * (index % 9 == 0)) for index in range(64)]
    found = sequences.step(segments, 1, 0)
    expected = [sequences.expected(segment, 1, 0) for segment in segments]
    assert np.abs(found - np.concatenate(expected)).max() <= 1e-5
