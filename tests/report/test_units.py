from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.report.units import bandwidth_text, bytes_text, seconds_text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (640, "640 B"), (345600, "346 kB"), (1e6, "1.00 MB"), (98.04e6, "98.0 MB")],
)
def test_bytes(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.5, "1.50 s"), (0.00123, "1.23 ms"), (250e-9, "250 ns"), (42e-6, "42.0 µs")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_bandwidth() -> None:
    assert bandwidth_text(84.96e9) == "85.0 GB/s"


@given(st.integers(1, 10**15))
def test_bytes_keep_their_size(count: int) -> None:
    value, unit = bytes_text(count).split()
    factor = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert float(value) * factor == pytest.approx(count, rel=0.006)
