"""A traced run as nested slices on tracks, with token edges as flows between them.

Of a worker: schedules hold steps, steps hold trips of the loop, trips hold stages, each behind the
wait for its tokens; waits and stages hold their parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from headrace.bench.events import Event, Step, steps
from headrace.bench.flows import Flows
from headrace.bench.trace import TracedRun
from headrace.report.stages import StageRow
from headrace.report.units import bandwidth_text

Facts = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A slice begins, or the one that began last ends; `at` in ns from the start of the trace."""

    at: int
    begins: bool
    name: str = ""
    category: str = ""
    facts: Facts = field(default_factory=Facts)
    entering: tuple[int, ...] = ()
    leaving: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """A row of the viewer: marks in order of time, ends matching begins."""

    name: str
    marks: tuple[Mark, ...]


def tracks(run: TracedRun) -> Iterator[Track]:
    """The host's track, and one for each worker."""
    slicer = _Slicer(run)
    yield Track("host", tuple(slicer.host()))
    for number, events in enumerate(run.workers):
        yield Track(f"worker {number}", tuple(slicer.worker(events)))


class _Slicer:
    def __init__(self, run: TracedRun) -> None:
        self.run, self.flows = run, Flows(run.workers)
        begins = [events[0].begin for events in run.workers if events]
        self.start = min([*begins, *(call.begin_ns for call in run.host)], default=0)

    def host(self) -> Iterator[Mark]:
        for call in self.run.host:
            yield from self._slice(call.begin_ns, call.end_ns, call.name, "host")

    def worker(self, events: Sequence[Event]) -> Iterator[Mark]:
        for busy, group in groupby(events, lambda each: each.is_stage or each.is_decision):
            inside = list(group)
            if busy:
                yield self._begin(inside[0].begin, "schedule", "schedule")
                for step in steps(inside):
                    yield from self._step(step)
                yield self._end(inside[-1].end)
            else:
                for each in inside:
                    yield from self._slice(each.begin, each.end, each.name, "idle")

    def _step(self, step: Step) -> Iterator[Mark]:
        facts: Facts = {"tokens": step.tokens}
        yield self._begin(step.begin, f"step, T = {step.tokens}", "step", facts)
        for trip, group in groupby(step.events, self._trip):
            inside = list(group)
            if trip is not None:
                yield self._begin(inside[0].begin, f"trip {trip}", "trip")
            for each in inside:
                yield from self._wait(each)
                if each.is_stage:
                    yield from self._stage(each)
            if trip is not None:
                yield self._end(inside[-1].end)
        yield self._end(step.end)

    def _trip(self, event: Event) -> int | None:
        looped = event.is_stage and self.run.stages[event.stage].trips > 1
        return event.trip if looped else None

    def _wait(self, event: Event) -> Iterator[Mark]:
        if event.last is None:
            return
        producer = self.flows.producer(event)
        what = "an earlier command" if producer is None else producer.name
        facts: Facts = {"of worker": event.last, "before": event.name, "bytes asked": event.asked}
        yield self._begin(event.begin, f"wait for {what}", "wait", facts)
        yield from self._part(event.begin, event.prefetching, "prefetch")
        yield from self._part(event.ready - event.asleep, event.asleep, "sleep")
        yield self._end(event.ready)

    def _stage(self, event: Event) -> Iterator[Mark]:
        begin = event.begin + event.wait
        entering, leaving = self.flows.entering(event), self.flows.leaving(event)
        facts: Facts = {"tokens": event.tokens, **self._reading(event)}
        yield self._begin(begin, event.name, "stage", facts, entering, leaving)
        if event.entered is not None:
            yield from self._part(begin, event.entered - begin, "prologue")
            yield from self._part(event.entered, event.products, "products")
            yield from self._part(event.end - event.epilogue, event.epilogue, "epilogue")
        yield self._end(event.end)

    def _reading(self, event: Event) -> Facts:
        """The weights that the products read, and how fast."""
        bytes = trip_bytes(self.run.stages[event.stage], event.worker)
        if not bytes or not event.products:
            return {}
        return {"bytes": bytes, "read": bandwidth_text(bytes / event.products * 1e9)}

    def _part(self, begin: int, length: int, name: str) -> Iterator[Mark]:
        if length > 0:
            yield from self._slice(begin, begin + length, name, name)

    def _slice(self, begin: int, end: int, name: str, category: str) -> Iterator[Mark]:
        yield self._begin(begin, name, category)
        yield self._end(end)

    def _begin(
        self,
        at: int,
        name: str,
        category: str,
        facts: Facts | None = None,
        entering: tuple[int, ...] = (),
        leaving: tuple[int, ...] = (),
    ) -> Mark:
        return Mark(at - self.start, True, name, category, facts or {}, entering, leaving)

    def _end(self, at: int) -> Mark:
        return Mark(at - self.start, False)


def trip_bytes(row: StageRow, worker: int) -> int:
    """Bytes of weights that a worker reads in one execution of a product stage."""
    return row.worker_bytes[worker] // row.trips if row.kind == "product" else 0
