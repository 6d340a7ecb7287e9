"""Where each result stands in the picture."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

from headrace.bench.spread import Spread
from headrace.bench.suite.result import Result
from headrace.bench.suite.workload import BEST_PEER, FIGURE_TEXTS, MULTIPLIERS, OURS, ROOFLINE, Bar

_LABEL_WIDTH = 30


@dataclass(frozen=True, slots=True)
class SpeedBar:
    """An engine's speed: `relative` to the best peer's (to ours, if there is none)."""

    name: str
    place: float
    relative: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Line:
    """A workload's part of the picture; places are inches from the top.

    Attributes:
        share: of the roofline if `by_memory`, of the multipliers' peak otherwise.
        speed_target, share_target: what the bars ask for.
    """

    label: str
    middle: float
    bars: tuple[SpeedBar, ...]
    speed_target: float | None
    share: Spread | None
    by_memory: bool
    share_target: float | None


def lines_of(results: list[Result], bar: float, gap: float) -> tuple[list[Line], float]:
    """A line for each result, and the height of all; ours is each line's first bar."""
    lines: list[Line] = []
    top = gap
    for result in results:
        line = _line(result, top, bar)
        lines.append(line)
        top += max(2, len(line.bars)) * bar + gap
    return lines, top


def _line(result: Result, top: float, bar: float) -> Line:
    assert result.tokens_per_second is not None
    best = result.best_peer
    ours = result.tokens_per_second.median
    unit = ours if best is None else best.tokens_per_second.median
    relative = 1.0 if best is None else best.ratio.median
    speeds = [(OURS, relative, ours)]
    for each in result.engines:
        median = each.tokens_per_second.median
        speeds.append((each.name, median / unit, median))
    bars = tuple(
        SpeedBar(name, top + (index + 0.5) * bar, value, tokens)
        for index, (name, value, tokens) in enumerate(speeds)
    )
    by_memory = ROOFLINE in result.figures
    figure = ROOFLINE if by_memory else MULTIPLIERS
    return Line(
        label=fill(result.title, _LABEL_WIDTH),
        middle=top + max(2, len(bars)) * bar / 2,
        bars=bars,
        speed_target=_speed_target(result, unit),
        share=result.figures.get(figure),
        by_memory=by_memory,
        share_target=next((each.bound for each in result.bars if each.figure == figure), None),
    )


def _speed_target(result: Result, unit: float) -> float | None:
    """The bound of the bar on a peer, in the picture's unit."""
    for bar in result.bars:
        if bar.figure not in FIGURE_TEXTS:
            return _peer_speed(result, bar, unit) * bar.bound if result.value(bar) else None
    return None


def _peer_speed(result: Result, bar: Bar, unit: float) -> float:
    if bar.figure == BEST_PEER:
        return 1.0
    found = next(each for each in result.engines if each.name == bar.figure)
    return found.tokens_per_second.median / unit
