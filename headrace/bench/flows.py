"""Token edges in a traced run: whose signal ended each wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.bench.events import Event

Key = tuple[int, int]


class Flows:
    """Numbers for the edges that were waited for, where the producer's stage was recorded.

    A flow leads from the stage whose signal ended a wait to the stage that went on after it; from
    the wait for worker 0's decision that is the first stage of the next step.
    """

    def __init__(self, workers: Sequence[Sequence[Event]]) -> None:
        self._signals = {_key(e): e for events in workers for e in events if e.is_stage}
        self._out: dict[Key, list[int]] = {}
        self._in: dict[Key, list[int]] = {}
        waits = (pair for events in workers for pair in _waits(events))
        for number, (wait, after) in enumerate(waits, start=1):
            producer = self.producer(wait)
            if producer is not None:
                self._out.setdefault(_key(producer), []).append(number)
                self._in.setdefault(_key(after), []).append(number)

    def producer(self, wait: Event) -> Event | None:
        """The execution of a stage whose signal ended a wait."""
        return None if wait.last is None else self._signals.get((wait.last, wait.target))

    def leaving(self, stage: Event) -> tuple[int, ...]:
        return tuple(self._out.get(_key(stage), ()))

    def entering(self, stage: Event) -> tuple[int, ...]:
        return tuple(self._in.get(_key(stage), ()))


def _key(stage: Event) -> Key:
    """A worker's counter is as high only once."""
    return stage.worker, stage.count


def _waits(events: Sequence[Event]) -> Iterator[tuple[Event, Event]]:
    """Events that waited for something, and the execution of a stage that each of them held up."""
    decision: Event | None = None
    for each in events:
        if each.is_stage:
            for wait in (decision, each):
                if wait is not None and wait.last is not None:
                    yield wait, each
        decision = each if each.is_decision else None
