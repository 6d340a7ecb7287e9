"""Quantities as people read them."""

from __future__ import annotations

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_DURATIONS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def bytes_text(count: float) -> str:
    """Decimal prefixes and three significant digits: `345600` is "346 kB"."""
    for factor, prefix in _PREFIXES:
        if count >= factor:
            return f"{_three_digits(count / factor)} {prefix}B"
    return f"{count:.0f} B"


def seconds_text(seconds: float) -> str:
    """`0.00123` is "1.23 ms"; below a microsecond in ns."""
    for factor, unit in _DURATIONS:
        if seconds >= factor:
            return f"{_three_digits(seconds / factor)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def bandwidth_text(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e9:.1f} GB/s"


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
