"""Figures measured several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the middle and the greatest of some measurements."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError if there are none."""
        return cls(min(values), median(values), max(values))


def spreads(samples: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """The spread of each figure."""
    return {name: Spread.of(values) for name, values in samples.items()}


def nested(figures: Mapping[str, Spread]) -> dict[str, object]:
    """Medians under their dotted names, `decode.tokens_per_second` inside of `decode`."""
    groups: dict[str, dict[str, Spread]] = {}
    tree: dict[str, object] = {}
    for name, spread in figures.items():
        group, _, rest = name.partition(".")
        if rest:
            groups.setdefault(group, {})[rest] = spread
        else:
            tree[name] = spread.median
    return {**tree, **{group: nested(inner) for group, inner in groups.items()}}
