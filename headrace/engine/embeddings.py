"""Embeddings that are made between the schedules of sequences, chunk by chunk."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from headrace.engine.embedding import Embedding
from headrace.engine.job import Embedded, Ended, EndReason, Usage
from headrace.engine.places import Place, Places
from headrace.runtime.program import Program


@dataclass(slots=True, eq=False)
class EmbeddingWork:
    """An embedding that is asked for.

    tokens: int32 `[T]`. ended: whether its event is made.
    """

    id: str
    tokens: NDArray[np.int32]
    submitted: float = field(default_factory=monotonic)
    ended: bool = False

    def end(self, reason: EndReason, message: str | None = None) -> Ended:
        """Its event, where it comes to no vector."""
        self.ended = True
        waited = monotonic() - self.submitted
        usage = Usage(len(self.tokens), 0, 0, waited, 0.0, 0.0, 0)
        return Ended(self.id, reason, message, usage)


class Embeddings:
    """Makes one embedding after the other; `step` runs one chunk, between other schedules."""

    def __init__(self, program: Program, places: Places) -> None:
        self._program = program
        self._places = places
        self._waiting: deque[EmbeddingWork] = deque()
        self._current: tuple[EmbeddingWork, Embedding, Place] | None = None

    @property
    def works(self) -> list[EmbeddingWork]:
        """What has not ended."""
        current = [] if self._current is None else [self._current[0]]
        return current + list(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether a chunk can be run."""
        return self._current is not None or (bool(self._waiting) and self._places.free_slots > 0)

    def add(self, work: EmbeddingWork) -> None:
        self._waiting.append(work)

    def step(self) -> Embedded | None:
        """Run a chunk, if there is a place for it; the embedding, if it was the last."""
        self._begin()
        if self._current is None:
            return None
        work, embedding, _ = self._current
        self._program.submit(embedding.next())
        self._program.wait()
        embedding.take(self._program.hidden())
        if not embedding.done:
            return None
        self._leave()
        work.ended = True
        return Embedded(work.id, embedding.vector().tobytes(), len(work.tokens))

    def drop(self, work: EmbeddingWork) -> None:
        """Forget an embedding, between schedules."""
        if work in self._waiting:
            self._waiting.remove(work)
        elif self._current is not None and self._current[0] is work:
            self._leave()

    def _begin(self) -> None:
        if self._current is not None or not self._waiting:
            return
        place = self._places.lend(len(self._waiting[0].tokens))
        if place is not None:
            work = self._waiting.popleft()
            self._program.set_blocks(place.slot, place.blocks)
            self._current = work, Embedding(work.tokens, place.slot, self._program), place

    def _leave(self) -> None:
        assert self._current is not None
        self._places.take_back(self._current[2])
        self._current = None
