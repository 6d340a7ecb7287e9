"""The token loop of a service: schedules, one after the other, as long as there is work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from time import monotonic

from headrace.engine.blocks import BlockPool
from headrace.engine.choices import Choices
from headrace.engine.driver import POLL_SECONDS
from headrace.engine.embeddings import Embeddings, EmbeddingWork
from headrace.engine.job import EndReason, Event, Refused, ServiceStats
from headrace.engine.scheduler import Scheduler
from headrace.engine.sequence import SequenceState
from headrace.engine.work import Work
from headrace.runtime.program import Program
from headrace.runtime.schedule import Schedule

#: Seconds between looks while somebody waits for a first token.
_FIRST_POLL_SECONDS = 0.003
#: Sequences whose tokens are worth a look every `POLL_SECONDS`. Passing on what is told costs for
#: each sequence, on the workers' cores: of more sequences, more tokens are told at once.
_SEQUENCES_A_LOOK = 12


class Loop:
    """Drives a program, in one thread: `add`, `end` and `step` are called there.

    Args:
        interrupted: whether something is to be done between schedules as soon as possible.
        deliver: takes events, as they come.
    """

    def __init__(
        self,
        program: Program,
        slots: int,
        interrupted: Callable[[], bool],
        deliver: Callable[[list[Event]], None],
    ) -> None:
        self._program = program
        self._pool = BlockPool(program.storage.blocks)
        self._scheduler = Scheduler(self._pool, program.manifest.max_tokens, slots=slots)
        self._choices = Choices(self._scheduler)
        self._embeddings = Embeddings(program, self._scheduler.places)
        self._works: dict[SequenceState, Work] = {}
        self._expected: set[Work] = set()
        self._deadline = inf
        self._interrupted = interrupted
        self._deliver = deliver
        self._schedules = self._steps = self._prompt_tokens = self._generated = 0

    @property
    def rest(self) -> float:
        """Seconds for which there is nothing to do, if nothing comes."""
        if len(self._works) > len(self._expected) or self._embeddings.works:
            return 0.0
        return max(self._deadline - monotonic(), 0.0)

    @property
    def has_room(self) -> bool:
        """Whether there is a slot for somebody who comes now; any thread may ask."""
        return self._scheduler.places.free_slots > 0

    def expect(self, work: Work) -> None:
        """Take a job that cannot run before it is added, but can end."""
        if not work.ended:
            self._expected.add(work)
            self._hold(work)

    def add(self, work: Work) -> None:
        """Take a job, between schedules; nothing happens if it has been ended."""
        if work.ended:
            return
        self._expected.discard(work)
        self._hold(work)
        self._prompt_tokens += len(work.sequence.prompt)
        self._scheduler.add(work.sequence)

    def refuse(self, work: Work, refusal: Refused) -> None:
        """Let a job that was expected go; nothing happens if it has been ended."""
        if not work.ended:
            work.ended = True
            self._release(work)
            self._deliver([refusal])

    def end(self, work: Work, reason: EndReason, message: str | None = None) -> None:
        """End a job, between schedules."""
        if not work.ended:
            self._scheduler.drop(work.sequence)
            self._release(work)
            self._deliver(work.end(reason, message))

    def embed(self, work: EmbeddingWork) -> None:
        """Take a text to be embedded, between schedules; nothing happens if it has been ended."""
        if not work.ended:
            self._embeddings.add(work)

    def end_embedding(
        self, work: EmbeddingWork, reason: EndReason, message: str | None = None
    ) -> None:
        """End an embedding, between schedules."""
        if not work.ended:
            self._embeddings.drop(work)
            self._deliver([work.end(reason, message)])

    def end_all(self, reason: EndReason, message: str) -> None:
        """End all jobs, between schedules."""
        for work in list(self._works.values()):
            self.end(work, reason, message)
        for embedding in self._embeddings.works:
            self.end_embedding(embedding, reason, message)

    def step(self) -> None:
        """Run one schedule, if there is work; meanwhile the host chooses tokens of others."""
        self._expire()
        if (embedded := self._embeddings.step()) is not None:
            self._deliver([embedded])
        schedule = self._scheduler.next()
        if schedule is None:
            self._choose()
            return
        for sequence in self._scheduler.places.settle():
            self._program.set_blocks(sequence.slot, sequence.blocks)
        for sequence in self._scheduler.scheduled:
            self._works[sequence].begin()
        self._follow(schedule)
        outputs = self._scheduler.outputs
        self._choices.note((self._works[each] for each in outputs), self._program.logits())
        self._scheduler.finish()
        for sequence in self._scheduler.scheduled:
            self._forget(self._works[sequence])

    def stats(self) -> ServiceStats:
        """Figures; any thread may ask."""
        places, scheduler = self._scheduler.places, self._scheduler
        return ServiceStats(
            running=places.slots - places.free_slots,
            waiting=scheduler.waiting + len(self._expected),
            blocks_total=self._pool.count,
            blocks_used=self._pool.used,
            blocks_cached=self._pool.kept,
            prefix_queries=places.queries,
            prefix_hits=places.hits,
            preemptions=scheduler.preemptions,
            schedules=self._schedules,
            steps=self._steps,
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._generated,
        )

    def _hold(self, work: Work) -> None:
        self._works[work.sequence] = work
        self._deadline = min(self._deadline, work.deadline)

    def _release(self, work: Work) -> None:
        self._expected.discard(work)
        self._works.pop(work.sequence, None)

    def _follow(self, schedule: Schedule) -> None:
        """Run a schedule, and tell of its tokens as they come."""
        pause = self._pause()
        self._program.submit(schedule)
        if self._choices:
            self._choose()
            self._program.cancel()
        counts: Counter[SequenceState] = Counter()
        finished = False
        while not finished:
            if self._wanted():
                self._program.cancel()
            finished = self._program.wait(pause)
            self._look(counts)
        self._schedules += 1
        self._steps += max(counts.values(), default=1)

    def _wanted(self) -> bool:
        """Whether something is to be done as soon as the step that runs has ended."""
        return self._interrupted() or self._deadline <= monotonic() or self._embeddings.ready

    def _look(self, counts: Counter[SequenceState]) -> None:
        fresh: dict[Work, None] = {}
        for sampled in self._program.poll():
            sequence = self._scheduler.take(sampled)
            counts[sequence] += 1
            if not sequence.hosted:
                work = self._works[sequence]
                work.saw(sampled.token)
                fresh[work] = None
                self._generated += 1
        self._tell(fresh)

    def _choose(self) -> None:
        """Let the host choose tokens whose logits are there."""
        fresh: list[Work] = []
        for work, failure in self._choices.settle():
            if failure is not None:
                self.end(work, failure.reason, failure.message)
                continue
            self._generated += 1
            fresh.append(work)
            self._forget(work)
        self._tell(fresh)

    def _tell(self, works: Iterable[Work]) -> None:
        """Tell of what sequences have got since the last time."""
        events: list[Event] = []
        for work in works:
            reason = work.sequence.finish_reason
            events += work.told() if reason is None else work.end(reason)
        if events:
            self._deliver(events)

    def _forget(self, work: Work) -> None:
        if work.sequence.finish_reason is not None:
            del self._works[work.sequence]

    def _pause(self) -> float:
        outputs = self._scheduler.outputs
        if any(not each.produced for each in outputs):
            return _FIRST_POLL_SECONDS
        return POLL_SECONDS * max(1.0, len(outputs) / _SEQUENCES_A_LOOK)

    def _expire(self) -> None:
        """End what is overdue."""
        if self._deadline > monotonic():
            return
        for work in list(self._works.values()):
            if work.deadline <= monotonic():
                self.end(work, "deadline", f"not done within {work.job.seconds} seconds")
        self._deadline = min((each.deadline for each in self._works.values()), default=inf)
