"""A traced run in figures: where the time of a step goes, by worker and by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from headrace.bench.events import Event, Step, steps
from headrace.bench.slices import trip_bytes
from headrace.bench.trace import TracedRun
from headrace.report.stages import StageRow
from headrace.report.units import bandwidth_text, bytes_text, seconds_text

Steps = Sequence[Step]

#: What the time of a worker is spent on; the parts of work and of waiting are indented.
_KINDS: tuple[tuple[str, Callable[[Event], int]], ...] = (
    ("work", lambda each: each.work),
    ("  prologues", lambda each: each.work - each.products - each.epilogue if each.entered else 0),
    ("  products", lambda each: each.products),
    ("  epilogues", lambda each: each.epilogue),
    ("  other stages", lambda each: 0 if each.entered else each.work),
    ("wait", lambda each: each.wait),
    ("  prefetching", lambda each: each.prefetching),
    ("  asleep", lambda each: each.asleep),
)


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps of the same kind: each worker's, and their number."""

    name: str
    workers: tuple[Steps, ...]

    @property
    def count(self) -> int:
        return len(self.workers[0])

    def time(self, worker: int) -> int:
        """ns of all of a worker's steps."""
        return sum(step.end - step.begin for step in self.workers[worker])


def phases(run: TracedRun) -> Iterator[Phase]:
    """The steps of one token, and those of more; only what there is."""
    for name, one in (("decode", True), ("prefill", False)):
        workers = tuple(
            tuple(step for step in steps(events) if (step.tokens == 1) == one)
            for events in run.workers
        )
        if workers[0]:
            yield Phase(name, workers)


def trace_tables(run: TracedRun) -> Iterator[Table]:
    """For each phase the shares of each worker's time, and the stages."""
    for phase in phases(run):
        yield _shares(phase)
        yield _stages(run, phase)


def _shares(phase: Phase) -> Table:
    count = len(phase.workers)
    mean = sum(map(phase.time, range(count))) / count / phase.count / 1e9
    title = f"{phase.name}: {phase.count} steps of {seconds_text(mean)}"
    table = _table(title, "share of time", [f"worker {number}" for number in range(count)])
    for name, measure in _KINDS:
        sums = (_sum(steps, measure) / phase.time(w) for w, steps in enumerate(phase.workers))
        table.add_row(name, *map(_percent, sums))
    return table


def _sum(steps: Steps, measure: Callable[[Event], int]) -> int:
    return sum(measure(each) for step in steps for each in step.events)


def _stages(run: TracedRun, phase: Phase) -> Table:
    heads = ["share", "work", "prol.", "epil.", "wait", "longest wait", "asked", "read"]
    table = _table("mean of the workers, for one execution", "stage", heads)
    whole = sum(map(phase.time, range(len(phase.workers))))
    events: dict[str, list[Event]] = {}
    for worker in phase.workers:
        for step in worker:
            for each in step.events:
                events.setdefault(each.name, []).append(each)
    rows = {row.name: row for row in run.stages}
    for name, found in events.items():
        table.add_row(name, *_cells(rows.get(name), found, whole))
    return table


def _cells(row: StageRow | None, events: Sequence[Event], whole: int) -> Iterator[str]:
    def mean(measure: Callable[[Event], int]) -> float:
        return sum(map(measure, events)) / len(events)

    yield _percent(sum(each.end - each.begin for each in events) / whole)
    yield _time(mean(lambda each: each.work))
    product = events[0].entered is not None
    for measure in (_KINDS[1][1], _KINDS[3][1]):
        yield _time(mean(measure)) if product else "-"
    yield _time(mean(lambda each: each.wait))
    yield _time(max(each.wait for each in events))
    yield bytes_text(mean(lambda each: each.asked))
    yield _read(row, events) if product and row is not None else "-"


def _read(row: StageRow, events: Sequence[Event]) -> str:
    """Bytes a second that all workers read together, while they are in products."""
    bytes = sum(trip_bytes(row, each.worker) for each in events)
    time = sum(each.products for each in events)
    workers = len({each.worker for each in events})
    return bandwidth_text(workers * bytes / max(time, 1) * 1e9)


def _table(title: str, first: str, others: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _time(ns: float) -> str:
    return seconds_text(ns / 1e9)
