"""A report as a picture: speed by engine, and share of the roofline, with the bars marked."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from headrace.bench.suite.result import Result
from headrace.bench.suite.series import Line, lines_of
from headrace.bench.suite.store import Report
from headrace.bench.suite.workload import MULTIPLIERS, OURS, ROOFLINE
from headrace.bench.table import number_text
from headrace.errors import RequestError

COLOURS = ("#c8553d", "#2f4b6e", "#5b8e7d", "#d9a441", "#8d7b9c", "#9aa5b1")
INK, FAINT = "#22303c", "#d8dee4"
_BAR, _GAP = 0.15, 0.24  # inches of a bar, and between workloads


def require_matplotlib() -> Any:
    """The plotting library.

    Raises:
        RequestError: it is not installed.
    """
    try:
        matplotlib = import_module("matplotlib")
    except ImportError as error:
        raise RequestError(
            f"the suite's pictures need matplotlib: {error}",
            where="--suite",
            hint='pip install matplotlib, or headrace with its extra "headrace[bench]"',
        ) from error
    matplotlib.use("Agg")
    return matplotlib


def draw(report: Report, path: Path, format: str) -> None:
    """Draw a report into a file; `format` is png or svg.

    Raises:
        RequestError: matplotlib is not installed.
    """
    matplotlib = require_matplotlib()
    results = [each for each in report.results if each.engines or _has_share(each)]
    names = list(dict.fromkeys(name for each in results for name in _names(each)))
    colours: dict[str, str] = dict(zip([OURS, *names], COLOURS, strict=False))
    style = {"font.size": 9, "svg.hashsalt": "headrace", "font.family": "DejaVu Sans"}
    with matplotlib.rc_context(style):
        figure = _figure(report, results, colours)
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(path, format=format, dpi=160, metadata=metadata)


def _has_share(result: Result) -> bool:
    return bool({ROOFLINE, MULTIPLIERS} & set(result.figures))


def _names(result: Result) -> list[str]:
    return [each.name for each in result.engines]


def _figure(report: Report, results: list[Result], colours: dict[str, str]) -> Any:
    """Two panels beside each other: one line a workload in both."""
    figure_class = import_module("matplotlib.figure").Figure
    lines, height = lines_of(results, _BAR, _GAP)
    inches = height + 1.5
    figure = figure_class(figsize=(11, inches), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    _speed_panel(left, lines, colours)
    _share_panel(right, lines)
    left.set_ylim(height, 0)
    left.set_yticks([line.middle for line in lines], [line.label for line in lines])
    handles = [_patch(colour, name) for name, colour in colours.items()]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=9
    )
    facts = report.conditions
    footer = f"{facts.get('processor', '')}, {facts.get('threads', '?')} threads"
    figure.supxlabel(footer, fontsize=8, color=INK)
    return figure


def _patch(colour: str, name: str) -> Any:
    return import_module("matplotlib.patches").Patch(color=colour, label=name)


def _speed_panel(axes: Any, lines: list[Line], colours: dict[str, str]) -> None:
    """Each engine's speed as a multiple of the best peer's; tokens/s stand at the bars' ends."""
    _prepare(axes, "speed, the best peer being 1; tokens/s at the bars; ┃ the goal")
    for line in lines:
        for bar in line.bars:
            axes.barh(bar.place, bar.relative, height=_BAR * 0.86, color=colours[bar.name])
            axes.annotate(
                number_text(bar.tokens_per_second),
                (bar.relative, bar.place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color=INK,
            )
        if line.speed_target is not None:
            _mark(axes, line.speed_target, line.bars[0].place)
    axes.axvline(1, color=INK, linewidth=0.6, linestyle=":")
    most = max((bar.relative for line in lines for bar in line.bars), default=1)
    targets = [line.speed_target for line in lines if line.speed_target is not None]
    axes.set_xlim(0, 1.15 * max([most, *targets]))


def _share_panel(axes: Any, lines: list[Line]) -> None:
    """Share of the roofline or of the multipliers' peak, with its range."""
    _prepare(axes, "share of the roofline (hatched: of the multipliers)")
    for line in lines:
        share = line.share
        if share is None:
            axes.annotate("–", (0.01, line.middle), va="center", color=INK)
            continue
        hatch = None if line.by_memory else "////"
        axes.barh(
            line.middle,
            share.median,
            height=_BAR * 1.4,
            color=COLOURS[0],
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
        )
        axes.plot([share.min, share.max], [line.middle] * 2, color=INK, linewidth=1.2)
        axes.annotate(
            f"{share.median:.2f}",
            (0.02, line.middle),
            va="center",
            fontsize=8,
            fontweight="bold",
            color="white",
            path_effects=[_outline()],
        )
        if line.share_target is not None:
            _mark(axes, line.share_target, line.middle)
    axes.set_xlim(0, 1.15)


def _outline() -> Any:
    """Around a number, so that it can be read on hatching."""
    effects = import_module("matplotlib.patheffects")
    return effects.withStroke(linewidth=2.5, foreground=COLOURS[0])


def _mark(axes: Any, value: float, place: float) -> None:
    axes.plot([value] * 2, [place - _BAR * 0.6, place + _BAR * 0.6], color=INK, linewidth=2)


def _prepare(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    axes.tick_params(length=0, colors=INK)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
