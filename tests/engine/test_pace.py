"""When to come back."""

from __future__ import annotations

import time

from headrace.engine.pace import Pace


def test_each_is_told_a_later_time_until_all_places_have_been_given() -> None:
    pace = Pace(3)
    told = [pace.retry_after() for _ in range(10)]
    assert told == [1.0, 2.0, *[3.0] * 8]  # nothing has ended yet: a second a place
    pace.ended()
    time.sleep(0.02)
    assert 3 * 0.02 <= pace.retry_after() < 3.0  # one ended 20 ms ago


def test_ends_give_places_back() -> None:
    pace = Pace(100)
    for _ in range(5):
        pace.retry_after()
    for _ in range(5):
        pace.ended()
    first, second = pace.retry_after(), pace.retry_after()
    assert 1.5 * first < second
