"""What came of a workload, as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace.bench.spread import Spread
from headrace.bench.suite.workload import BEST_PEER, Bar


@dataclass(frozen=True, slots=True)
class EngineResult:
    """A peer's part of a workload.

    Attributes:
        setting: the fastest of its own settings. weights: what it computes with.
        ratio: our speed over its speed, of runs that followed each other.
        figures: as those of the result, where it has some of its own.
    """

    name: str
    version: str
    setting: str
    weights: str
    tokens_per_second: Spread
    ratio: Spread
    figures: Mapping[str, Spread] = field(default_factory=dict[str, Spread])


@dataclass(frozen=True, slots=True)
class Result:
    """A workload's figures; each is over the repetitions.

    Attributes:
        measured: when, ISO 8601. repetitions: after one to warm up.
        tokens_per_second: ours; None where the workload failed.
        figures: shares and ratios by the names that bars use.
        left_out: peers that were not measured, by name, and why.
        error: why there are no figures of ours.
    """

    workload: str
    title: str
    model: str
    kind: str
    bars: tuple[Bar, ...]
    measured: str
    repetitions: int
    tokens_per_second: Spread | None = None
    figures: Mapping[str, Spread] = field(default_factory=dict[str, Spread])
    engines: tuple[EngineResult, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str | None = None

    @property
    def best_peer(self) -> EngineResult | None:
        """The peer with the highest median speed."""
        return max(self.engines, key=lambda each: each.tokens_per_second.median, default=None)

    def value(self, bar: Bar) -> Spread | None:
        """The figure that a bar is about; None if it was not measured."""
        if bar.figure in self.figures:
            return self.figures[bar.figure]
        best = self.best_peer
        if bar.figure == BEST_PEER:
            return None if best is None else best.ratio
        return next((each.ratio for each in self.engines if each.name == bar.figure), None)

    def met(self, bar: Bar) -> bool | None:
        """Whether the median meets a bar; None if it was not measured."""
        value = self.value(bar)
        return None if value is None else bar.met(value.median)

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_fields(fields: dict[str, Any]) -> Result:
        """Raises ValueError, KeyError or TypeError for what `to_fields` did not give."""
        own = dict(fields)
        own["bars"] = tuple(Bar(**each) for each in own["bars"])
        own["tokens_per_second"] = _spread(own["tokens_per_second"])
        own["figures"] = _figures(own["figures"])
        own["engines"] = tuple(_engine(each) for each in own["engines"])
        return Result(**own)


def _spread(fields: dict[str, float] | None) -> Spread | None:
    return None if fields is None else Spread(**fields)


def _figures(fields: dict[str, dict[str, float]]) -> dict[str, Spread]:
    return {name: Spread(**each) for name, each in fields.items()}


def _engine(fields: dict[str, Any]) -> EngineResult:
    own = dict(fields)
    for name in ("tokens_per_second", "ratio"):
        own[name] = Spread(**own[name])
    own["figures"] = _figures(own.get("figures", {}))
    return EngineResult(**own)
