"""An engine that takes jobs at any time, and works on all of them together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from time import monotonic

from headrace.engine.admission import admit
from headrace.engine.choice.choice import Choice
from headrace.engine.choice.chooser import Chooser
from headrace.engine.choice.grammars import Grammars
from headrace.engine.embeddings import EmbeddingWork
from headrace.engine.inbox import Inbox, Order
from headrace.engine.job import Event, Job, Refused, ServiceSettings, ServiceStats, Tokens
from headrace.engine.loop import Loop
from headrace.engine.pace import Pace
from headrace.engine.preparers import Preparers
from headrace.engine.prompt import check_tokens
from headrace.engine.work import Work
from headrace.errors import ContextLengthError, RequestError
from headrace.runtime.program import Program

LOG = logging.getLogger("headrace.engine")

#: Grammars that are compiled at once: one that takes long does not hold up the others.
_PREPARERS = 4


class Service:
    """Runs jobs on a program, from a thread of its own, until it is closed.

    Each job has the events that `headrace.engine.job` describes: `Refused`, or any number of
    `Tokens` and then `Ended`. What it generates is what it would generate alone. The program
    belongs to the service while it is open; whoever made the program closes it, after the service.

    Args:
        stops: the model's stop tokens.
        grammars: of the model's tokens; None: no job may have a grammar.
        deliver: takes events; never called by two threads at once. While it runs no token is made.

    Attributes:
        failure: what has ended the service, if it did not end by `close`.
    """

    def __init__(
        self,
        program: Program,
        stops: Sequence[int],
        grammars: Grammars | None,
        settings: ServiceSettings,
        deliver: Callable[[list[Event]], None],
    ) -> None:
        self._program = program
        self._stops = tuple(stops)
        self._grammars = grammars
        self._preparers = Preparers(_PREPARERS, "headrace-grammars")
        self._most = settings.slots + settings.queue
        self._deliver = deliver
        self._inbox = Inbox()
        self._loop = Loop(program, settings.slots, self._interrupted, self._tell)
        self._jobs: dict[str, Work | EmbeddingWork] = {}
        self._pace = Pace(self._most)
        self._lock = threading.Lock()
        self._telling = threading.RLock()
        self._drained_by: float | None = None
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="headrace-service", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Take a job; returns at once, and all that follows are events. For any thread."""
        try:
            work = admit(job, self._stops, self._program)
        except (ContextLengthError, RequestError) as error:
            self._pass_on([_refused(job.id, error)])
            return
        if not self._enter(job.id, work):
            return
        if job.choice is None:
            self._add(work)
        elif self._is_quick(job.choice):
            self._prepare(work, job.choice)
        else:
            self._order(partial(self._loop.expect, work), urgent=False)
            self._preparers.submit(job.client, partial(self._prepare, work, job.choice))

    def embed(self, id: str, tokens: Sequence[int]) -> None:
        """Embed a text, between the steps of jobs; the event is `Embedded`. For any thread."""
        program = self._program
        try:
            checked = check_tokens(tokens, program.manifest.vocabulary, program.context, "tokens")
        except (ContextLengthError, RequestError) as error:
            self._pass_on([_refused(id, error)])
            return
        work = EmbeddingWork(id, checked)
        if self._enter(id, work):
            self._order(partial(self._loop.embed, work), urgent=self._loop.has_room)

    def cancel(self, id: str) -> None:
        """End a job after the step that runs; nothing happens if it has ended. For any thread."""
        with self._lock:
            work = self._jobs.get(id)
        if isinstance(work, Work):
            self._order(partial(self._loop.end, work, "cancelled"), urgent=True)
        elif work is not None:
            self._order(partial(self._loop.end_embedding, work, "cancelled"), urgent=True)

    def stats(self) -> ServiceStats:
        """Figures of the moment. For any thread."""
        return self._loop.stats()

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take no job any more, end those that are not done after so many seconds, and return."""
        with self._lock:
            self._drained_by = monotonic() + drain_seconds
        self._order(_nothing, urgent=drain_seconds <= 0)
        self._thread.join()
        self._preparers.close()

    def _add(self, work: Work) -> None:
        self._order(partial(self._loop.add, work), urgent=self._loop.has_room)

    def _is_quick(self, choice: Choice) -> bool:
        """Whether no grammar has to be compiled."""
        grammar, grammars = choice.grammar, self._grammars
        return grammar is None or grammars is None or grammars.has(grammar)

    def _prepare(self, work: Work, choice: Choice) -> None:
        """Make what chooses a job's tokens; compiling a grammar may take seconds."""
        if work.ended:
            return
        vocabulary, sampling = self._program.manifest.vocabulary, work.sequence.sampling
        try:
            work.chooser = Chooser(choice, sampling, vocabulary, self._grammars, work.job.tokens)
        except RequestError as error:
            refusal = _refused(work.job.id, error)
            self._order(partial(self._loop.refuse, work, refusal), urgent=True)
        except BaseException as error:  # a panic of the grammars' library is no Exception
            LOG.error("preparing job %s failed", work.job.id, exc_info=error)
            message = "the engine failed to prepare the request"
            self._order(partial(self._loop.end, work, "error", message), urgent=True)
        else:
            self._add(work)

    def _enter(self, id: str, work: Work | EmbeddingWork) -> bool:
        """Count a job in, or tell why not; whether it is in."""
        with self._lock:
            refusal = self._refusal(id)
            if refusal is None:
                self._jobs[id] = work
        if refusal is not None:
            self._pass_on([refusal])
        return refusal is None

    def _refusal(self, id: str) -> Refused | None:
        """Why a job is not taken, if it is not."""
        if self.failure is not None:
            return Refused(id, "closing", f"the engine has failed: {self.failure}")
        if self._drained_by is not None:
            return Refused(id, "closing", "the engine is being closed")
        if id in self._jobs:
            return Refused(id, "invalid", f"a job {id!r} is under way")
        if len(self._jobs) >= self._most:
            message = f"{len(self._jobs)} jobs are under way and wait, which is the most"
            return Refused(id, "queue_full", message, self._pace.retry_after())
        return None

    def _order(self, order: Order, *, urgent: bool) -> None:
        self._inbox.put(order, urgent=urgent)
        if urgent:
            self._program.cancel()  # the schedule, which goes on after the orders have been done

    def _interrupted(self) -> bool:
        return self._inbox.urgent or self._drain_is_over()

    def _drain_is_over(self) -> bool:
        return self._drained_by is not None and monotonic() >= self._drained_by

    def _rest(self) -> float:
        """Seconds for which there is nothing to do, if no order comes."""
        end = inf if self._drained_by is None else self._drained_by
        return min(self._loop.rest, max(end - monotonic(), 0.0))

    def _tell(self, events: list[Event]) -> None:
        with self._lock:
            for event in events:
                if not isinstance(event, Tokens):
                    del self._jobs[event.id]
                    self._pace.ended()
        self._pass_on(events)

    def _pass_on(self, events: list[Event]) -> None:
        with self._telling:
            self._deliver(events)

    def _run(self) -> None:
        """The thread."""
        try:
            while self._jobs or self._drained_by is None:
                for order in self._inbox.take(self._rest()):
                    order()
                if self._drain_is_over():
                    self._loop.end_all("cancelled", "the engine is being closed")
                self._loop.step()
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        """Tell all whose jobs cannot go on."""
        with self._lock:
            self.failure = error
            works = list(self._jobs.values())
        message = f"the engine has failed: {error}"
        self._tell([event for work in works for event in _end(work, message)])


def _refused(id: str, error: ContextLengthError | RequestError) -> Refused:
    kind = "context" if isinstance(error, ContextLengthError) else "invalid"
    return Refused(id, kind, str(error))


def _end(work: Work | EmbeddingWork, message: str) -> list[Event]:
    events = work.end("error", message)
    return events if isinstance(events, list) else [events]


def _nothing() -> None:
    """An order that only wakes."""
