from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bench.interleave import Samples
from headrace.bench.plan import Plan
from headrace.bench.spread import Spread, nested, spreads
from headrace.bench.table import number_text
from headrace.errors import RequestError


@given(st.lists(st.floats(0, 1e12), min_size=1))
def test_spread_is_in_order(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.min <= spread.median <= spread.max
    assert spread.median == median(values)


def test_spread_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        Spread.of([])


def test_dots_become_objects() -> None:
    figures = spreads({"a.b.c": [3, 1, 2], "a.d": [5], "e": [1.0, 2.0]})
    assert nested(figures) == {"e": 1.5, "a": {"d": 5, "b": {"c": 2}}}


@pytest.mark.parametrize("field", ["prompt", "decode", "repetitions"])
def test_plans_need_work(field: str) -> None:
    with pytest.raises(RequestError, match=f"{field} is 0"):
        Plan(**{field: 0})


def test_ratios_are_ours_over_theirs_pair_by_pair() -> None:
    from headrace.bench.figures import pair_ratios

    samples = Samples(decode=[1.0, 2.0], peer_decode=[3.0, 2.0])
    assert pair_ratios(samples.peer_decode, samples.decode) == [3.0, 1.0]


@pytest.mark.parametrize(
    ("value", "text"), [(512, "512"), (0.03125, "0.0312"), (1234.5, "1,234"), (8.5e10, "85.0e9")]
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number_text(value) == text
