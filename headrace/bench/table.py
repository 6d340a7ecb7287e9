"""The figures of a benchmark for people."""

from __future__ import annotations

from rich.table import Table

from headrace.bench.benchmark import Benchmark


def figures_table(benchmark: Benchmark) -> Table:
    """One row a figure: the median, and how far it spread."""
    table = Table(title=_title(benchmark), title_justify="left")
    table.add_column("figure")
    for name in ("median", "min", "max"):
        table.add_column(name, justify="right")
    for name, spread in benchmark.figures.items():
        same = spread.min == spread.max
        ends = ("", "") if same else (number_text(spread.min), number_text(spread.max))
        table.add_row(name, number_text(spread.median), *ends)
    return table


def _title(benchmark: Benchmark) -> str:
    facts = benchmark.conditions
    counts = f"{facts['threads']} threads, {facts['repetitions']} repetitions"
    return f"{facts['model']} on {facts['machine']}, {counts}"


def number_text(value: float) -> str:
    """Three digits or more; thousands apart."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    if abs(value) >= 1e9:
        return f"{value / 1e9:.1f}e9"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
