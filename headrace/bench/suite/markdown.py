"""A report as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from headrace.bench.spread import Spread
from headrace.bench.suite.prose import HOW, INTRODUCTION, LABELS
from headrace.bench.suite.result import EngineResult, Result
from headrace.bench.suite.store import Report
from headrace.bench.suite.workload import (
    FIRST_TOKEN,
    GAP,
    GAP_P99,
    MULTIPLIERS,
    OURS,
    ROOFLINE,
    Bar,
)
from headrace.bench.table import number_text


def page(report: Report) -> str:
    """The whole page."""
    parts = [
        INTRODUCTION.format(**_counts(report)),
        *_table(("workload", "bar", "measured", ""), _bar_rows(report.results)),
        _heading("Tokens per second"),
        *_speeds(report.results),
        *_waits(report.results),
        _heading("Who did not take part"),
        *(_absences(report.results) or ["Every engine ran every workload it was asked for."]),
        _heading("Engines"),
        *_engines(report.results),
        _heading("Conditions"),
        *(f"- {LABELS.get(name, name)}: {value}" for name, value in report.conditions.items()),
        *_dates(report.results),
        HOW,
    ]
    return "\n".join(parts) + "\n"


def spread_text(spread: Spread) -> str:
    """Median, and the range in brackets where there is one."""
    middle, low, high = (number_text(each) for each in (spread.median, spread.min, spread.max))
    return middle if low == high else f"{middle} ({low}–{high})"


def verdict(result: Result, bar: Bar) -> str:
    """Whether a bar is met, and if not, by how much it is missed."""
    value = result.value(bar)
    if value is None:
        return "not measured"
    if bar.met(value.median):
        return "met"
    return f"missed by {abs(value.median / bar.bound - 1):.1%}"


def _counts(report: Report) -> dict[str, int]:
    states = [result.met(bar) for result in report.results for bar in result.bars]
    return {"met": states.count(True), "missed": states.count(False), "bars": len(states)}


def _bar_rows(results: Iterable[Result]) -> Iterator[tuple[str, ...]]:
    for result in results:
        title = result.title
        if result.error is not None:
            yield title, "", f"failed: {_one_line(result.error)}", "failed"
            continue
        for bar in result.bars:
            value = result.value(bar)
            measured = "–" if value is None else spread_text(value)
            yield title, bar.text, measured, verdict(result, bar)
            title = ""


def _speeds(results: Sequence[Result]) -> Iterator[str]:
    names = list(dict.fromkeys(each.name for result in results for each in result.engines))
    rows = (
        (
            result.title,
            spread_text(result.tokens_per_second),
            _share(result),
            *(_speed(result, name) for name in names),
        )
        for result in results
        if result.tokens_per_second is not None
    )
    yield from _table(("workload", "headrace", "of the floor", *names), rows)
    yield ""
    yield "Behind a peer's figure: how many times as fast headrace was in the same minutes."


def _waits(results: Sequence[Result]) -> Iterator[str]:
    """How long clients of servers wait."""
    served = [each for each in results if FIRST_TOKEN in each.figures]
    if not served:
        return
    yield _heading("Waiting for tokens over HTTP, ms")
    head = ("workload", "server", "first token", "between tokens", "99th percentile")
    yield from _table(head, (row for each in served for row in _wait_rows(each)))


def _wait_rows(result: Result) -> Iterator[tuple[str, ...]]:
    title = result.title
    for name, found in ((OURS, result.figures), *((e.name, e.figures) for e in result.engines)):
        yield title, name, *(spread_text(found[each]) for each in (FIRST_TOKEN, GAP, GAP_P99))
        title = ""


def _share(result: Result) -> str:
    if ROOFLINE in result.figures:
        return f"{result.figures[ROOFLINE].median:.2f}"
    if MULTIPLIERS in result.figures:
        return f"{result.figures[MULTIPLIERS].median:.2f} of the multipliers"
    return "–"


def _speed(result: Result, name: str) -> str:
    found = next((each for each in result.engines if each.name == name), None)
    if found is None:
        return "–"
    return f"{number_text(found.tokens_per_second.median)} ({found.ratio.median:.2f}×)"


def _absences(results: Iterable[Result]) -> list[str]:
    """One line for each engine and reason, with the workloads it is about."""
    found: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for name, why in result.left_out.items():
            found.setdefault((name, _one_line(why)), []).append(result.workload)
    return [f"- {name}: {why} ({', '.join(where)})" for (name, why), where in found.items()]


def _engines(results: Iterable[Result]) -> list[str]:
    """One line for each engine: version, weights, and where which setting was the fastest."""
    kinds: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for result in results:
        for each in result.engines:
            _note_setting(kinds, result, each)
    return [
        f"- {name} {version}; weights {weights}{_settings(settings)}"
        for (name, version, weights), settings in kinds.items()
    ]


def _note_setting(
    kinds: dict[tuple[str, str, str], dict[str, list[str]]], result: Result, each: EngineResult
) -> None:
    settings = kinds.setdefault((each.name, each.version, each.weights), {})
    settings.setdefault(each.setting, []).append(result.workload)


def _settings(settings: dict[str, list[str]]) -> str:
    named = [f"{name} in {', '.join(where)}" for name, where in settings.items() if name]
    return f"; fastest with {'; '.join(named)}" if named else ""


def _dates(results: Sequence[Result]) -> Iterator[str]:
    days = sorted({result.measured.partition("T")[0] for result in results})
    counts = sorted({result.repetitions for result in results})
    if days:
        yield f"- measured: {days[0] if len(days) == 1 else f'{days[0]} to {days[-1]}'}"
        yield f"- repetitions: {' or '.join(map(str, counts))}, after one to warm up"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _heading(text: str) -> str:
    return f"\n## {text}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
