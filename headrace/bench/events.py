"""A recording as events: what each worker did in turn, in nanoseconds of the host's clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headrace.codegen.record import Other
from headrace.report.stages import StageRow
from headrace.runtime.trace import Clock, Recording, Records

_NAMES = {Other.IDLE: "idle", Other.DECISION: "decision", Other.SWEEP: "pure read"}


@dataclass(frozen=True, slots=True)
class _Row:
    """A record's fields, in the order of `RECORD`."""

    ready: int
    entered: int
    end: int
    asleep: int
    stage: int
    last: int
    trip: int
    count: int
    target: int
    tokens: int
    asked: int
    epilogue: int
    prefetching: int


@dataclass(frozen=True, slots=True)
class Event:
    """One execution of a stage by one worker, or another time that it spent.

    It begins where the worker's event before it ends. Times are in ns, lengths too.

    Attributes:
        stage: its index in the program, or one of `Other`. tokens: of the step.
        entered: when the products began, None for stages without.
        epilogue, prefetching, asleep: lengths of time within.
        asked: bytes of weights asked for while waiting. count: the worker's counter after it.
        last: the worker whose counter came last, None if nothing had to be waited for;
            target: what that counter had to reach.
    """

    worker: int
    stage: int
    name: str
    trip: int
    tokens: int
    begin: int
    ready: int
    entered: int | None
    end: int
    epilogue: int
    prefetching: int
    asleep: int
    asked: int
    count: int
    last: int | None
    target: int

    @property
    def is_stage(self) -> bool:
        return self.stage >= 0

    @property
    def is_decision(self) -> bool:
        return self.stage == Other.DECISION

    @property
    def wait(self) -> int:
        """Time until what was not there came."""
        return 0 if self.last is None else self.ready - self.begin

    @property
    def work(self) -> int:
        """All other time: the share of the stage, and what a worker does on the way to it."""
        return self.end - self.begin - self.wait

    @property
    def products(self) -> int:
        """Time in products; 0 for stages that have none."""
        return 0 if self.entered is None else self.end - self.entered - self.epilogue


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one worker, to the decision that ends it where there is one."""

    events: tuple[Event, ...]

    @property
    def tokens(self) -> int:
        return self.events[0].tokens

    @property
    def begin(self) -> int:
        return self.events[0].begin

    @property
    def end(self) -> int:
        return self.events[-1].end


def worker_events(
    recording: Recording, stages: Sequence[StageRow], since_ns: int = 0
) -> tuple[tuple[Event, ...], ...]:
    """Each worker's events that began after a moment, in order.

    Args:
        stages: of the program, in order.
    """
    names = [row.name for row in stages]
    return tuple(
        tuple(each for each in _events(worker, rows, recording.clock, names, since_ns))
        for worker, rows in enumerate(recording.workers)
    )


def steps(events: Sequence[Event]) -> Iterator[Step]:
    """The steps in a worker's events: each begins with the program's first stage."""
    starts = [index for index, each in enumerate(events) if each.stage == 0]
    for start, end in pairwise([*starts, len(events)]):
        inside = (each for each in events[start:end] if each.is_stage or each.is_decision)
        yield Step(tuple(inside))


def _events(
    worker: int, records: Records, clock: Clock, names: Sequence[str], since_ns: int
) -> Iterator[Event]:
    rows = (_Row(*row) for row in _in_ns(records, clock).tolist())
    for before, row in pairwise(rows):
        if before.end >= since_ns:
            yield Event(
                worker=worker,
                stage=row.stage,
                name=names[row.stage] if row.stage >= 0 else _NAMES[Other(row.stage)],
                trip=row.trip,
                tokens=row.tokens,
                begin=before.end,
                ready=row.ready or row.end,
                entered=row.entered or None,
                end=row.end,
                epilogue=row.epilogue,
                prefetching=row.prefetching,
                asleep=row.asleep,
                asked=row.asked,
                count=row.count,
                last=None if row.last < 0 else row.last,
                target=row.target,
            )


def _in_ns(records: Records, clock: Clock) -> Records:
    """The records with their times and lengths in ns; what was not marked stays 0."""
    found = records.copy()
    for name in ("ready", "entered", "end"):
        found[name] = np.where(records[name] == 0, 0, clock.ns(records[name]))
    for name in ("asleep", "epilogue", "prefetching"):
        found[name] = clock.length_ns(records[name])
    return found
