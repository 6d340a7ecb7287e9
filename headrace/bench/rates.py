"""How fast a core works when memory does not hold it up, by the trace of a model in the caches.

The model's weights stay in the caches, so what its stages take is their arithmetic alone: these are
figures of the machine and of the kernels, whatever model they run in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from statistics import median

from headrace.bench.events import Event, steps
from headrace.bench.plan import Plan
from headrace.bench.trace import TracedRun, traced_run
from headrace.build import Options, build
from headrace.checkpoint.progress import Progress
from headrace.checkpoint.random_model import FILE_TYPES
from headrace.machine import Rates
from headrace.report.stages import StageRow

_PLAN = Plan(prompt=256, decode=64, repetitions=1)
_DEFAULT = "q4_0"

Measure = Callable[[Event], int]


def measured_rates(formats: Iterable[str], options: Options, progress: Progress) -> Rates:
    """The rates of this machine's cores: products of these formats, attention, rows.

    Formats that no GGUF file has throughout are left out. Of the options, the workers and the
    instruction set count.

    Raises:
        HeadraceError: as `build`.
    """
    known = [name for name in dict.fromkeys(formats) if name in FILE_TYPES] or [_DEFAULT]
    runs = {name: _run(name, options, progress) for name in known}
    quantised = next((run for name, run in runs.items() if not name.endswith("16")), runs[known[0]])
    return Rates(
        products={name: _product_rate(run, name) for name, run in runs.items()},
        attention=_attention_rate(quantised),
        rows=_row_rate(quantised),
    )


def _run(format: str, options: Options, progress: Progress) -> TracedRun:
    model = f"random:in-cache@{format}"
    traced = replace(options, weights="auto", trace=True)
    return traced_run(model, build(model, traced, progress), _PLAN)


def _product_rate(run: TracedRun, format: str) -> float:
    """Multiply-adds a second of one core."""
    rows = [row for row in run.stages if row.weights == (format,)]
    macs = sum((row.quantised_macs + row.float_macs) / row.trips for row in rows)
    return macs / _core_seconds(run, rows, lambda each: each.products)


def _attention_rate(run: TracedRun) -> float:
    rows = [row for row in run.stages if row.kind == "attention"]
    macs = sum(row.float_macs / row.trips for row in rows)
    return macs / _core_seconds(run, rows, lambda each: each.work)


def _row_rate(run: TracedRun) -> float:
    """Values a second of one core; all workers go through the same rows."""
    rows = [row for row in run.stages if row.kind == "product"]
    values = sum(row.row_values / row.trips for row in rows)
    seconds = _core_seconds(run, rows, lambda each: each.work - each.products - each.epilogue)
    return values * len(run.workers) / seconds


def _core_seconds(run: TracedRun, rows: Iterable[StageRow], measure: Measure) -> float:
    """Seconds of all cores together in one execution of each of these stages: medians."""
    decoded = [list(_decoded(events)) for events in run.workers]
    return sum(
        median(measure(each) for each in events if each.name == row.name) / 1e9
        for row in rows
        for events in decoded
    )


def _decoded(events: Iterable[Event]) -> Iterator[Event]:
    for step in steps(tuple(events)):
        if step.tokens == 1:
            yield from step.events
