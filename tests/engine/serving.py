"""A service, and what it tells."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.api import Model
from headrace.engine.choice.grammars import Grammars
from headrace.engine.job import Embedded, Ended, Event, Job, Refused, ServiceSettings, Tokens
from headrace.engine.service import Service

SECONDS = 60  # for anything that a test waits for


@dataclass
class Answers:
    """All events of a service, by job.

    first_tokens: is called with the first tokens of each job, in the service's thread: no schedule
        begins until it returns.
    """

    events: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict[str, Any])
    came: threading.Condition = field(default_factory=threading.Condition)

    first_tokens: Callable[[str], None] = lambda _: None

    def deliver(self, events: list[Event]) -> None:
        fresh = [each.id for each in events if each.id not in self.events]
        with self.came:
            for event in events:
                if isinstance(event, Embedded):
                    self.vectors[event.id] = np.frombuffer(event.vector, np.float32)
                    continue
                self.events.setdefault(event.id, []).append(event)
            self.came.notify_all()
        for id in fresh:
            if self.tokens(id):
                self.first_tokens(id)

    def tokens(self, id: str) -> list[int]:
        events = self.events.get(id, [])
        return [token for each in events if isinstance(each, Tokens) for token in each.tokens]

    def last(self, id: str) -> Ended | Refused:
        """Wait until a job has ended."""
        with self.came:
            assert self.came.wait_for(lambda: self._over(id) is not None, SECONDS)
        over = self._over(id)
        assert over is not None
        return over

    def ended(self, id: str) -> Ended:
        last = self.last(id)
        assert isinstance(last, Ended), last
        return last

    def refused(self, id: str) -> Refused:
        last = self.last(id)
        assert isinstance(last, Refused), last
        return last

    def answer(self, id: str) -> list[int]:
        """All tokens of a job that ends as it should."""
        assert self.ended(id).reason in ("stop", "length")
        return self.tokens(id)

    def wait_for_tokens(self, id: str, count: int = 1) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.tokens(id)) >= count, SECONDS)

    def vector(self, id: str) -> NDArray[np.float32]:
        with self.came:
            assert self.came.wait_for(lambda: id in self.vectors, SECONDS)
        return self.vectors[id]

    def _over(self, id: str) -> Ended | Refused | None:
        last = self.events.get(id, [None])[-1]
        return last if isinstance(last, Ended | Refused) else None


@contextmanager
def serving(
    model: Model, *, grammars: Grammars | None = None, queue: int = 256, slots: int = 64
) -> Iterator[tuple[Service, Answers]]:
    """A service without stop tokens; at its end no block is in use."""
    answers = Answers()
    service = Service(
        model.program, (), grammars, ServiceSettings(queue=queue, slots=slots), answers.deliver
    )
    try:
        yield service, answers
    finally:
        service.close()
    stats = service.stats()
    assert service.failure is None
    assert (stats.running, stats.waiting, stats.blocks_used) == (0, 0, 0)


def job(id: str, tokens: list[int], count: int, seed: int | None = None, client: str = "") -> Job:
    """Greedy without a seed."""
    temperature = 0.0 if seed is None else 1.0
    return Job(
        id=id, tokens=tokens, max_tokens=count, temperature=temperature, seed=seed, client=client
    )
