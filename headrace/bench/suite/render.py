"""A report as a page and pictures; only its results are needed."""

from __future__ import annotations

from pathlib import Path

from headrace import cache
from headrace.bench.suite.markdown import page
from headrace.bench.suite.picture import draw
from headrace.bench.suite.store import Report

PAGE, PICTURES = "benchmarks.md", ("benchmarks.png", "benchmarks.svg")


def render(report: Report, directory: Path) -> None:
    """Write the page and its pictures beside the results.

    Raises:
        RequestError: matplotlib is not installed.
        CacheError: they cannot be written.
    """
    for name in PICTURES:
        with cache.atomic_path(directory / name) as path:
            draw(report, path, name.rpartition(".")[2])
            path.chmod(0o644)
    with cache.atomic_path(directory / PAGE) as path:
        path.write_text(page(report), "utf-8")
        path.chmod(0o644)
