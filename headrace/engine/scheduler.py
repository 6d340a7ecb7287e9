"""Which sequences a schedule has, and how much of their prompts: continuous batching.

Sequences come in turn as soon as a slot and KV blocks are free (Orca, Yu et al. 2022). Beside
sequences that decode, prompts are fed in chunks (Sarathi-Serve, Agrawal et al. 2024). Where
decoding has priority, a chunk has so few tokens that no step takes longer than two without it.
Where blocks run out, the youngest gives its own away and is computed anew later.
"""

from __future__ import annotations

from bisect import insort
from itertools import count

from headrace.engine.blocks import BlockPool
from headrace.engine.chunks import Feed, Priority, next_feeds
from headrace.engine.fair import FairQueue
from headrace.engine.places import Places
from headrace.engine.sequence import SequenceState
from headrace.runtime.mailbox import Sampled
from headrace.runtime.schedule import MAX_SEQUENCES, Schedule, Segment

FIRST_STEPS = 8  # the first words appear early
STEPS = 32  # the gain of longer schedules flattens near 20

#: What a generated token costs a client, where one of a prompt costs 1 (Sheng et al. 2024).
GENERATED_COST = 2


class Scheduler:
    """Decides what the native program does next; `next`, then `take` for each token, then `finish`.

    Args:
        pool: the KV blocks. max_tokens: of one step.
        slots: sequences at once, at most.

    Attributes:
        places: slots and blocks of those that run; `settle` gives what the program must be told
            before it runs the schedule.
        scheduled: the sequences of the last schedule. outputs: those whose logits it computes, in
            the order of their rows.
        preemptions: how often a sequence gave way.
    """

    def __init__(
        self,
        pool: BlockPool,
        max_tokens: int,
        priority: Priority = "decoding",
        slots: int = MAX_SEQUENCES,
    ) -> None:
        self.places = Places(pool, slots)
        self._priority: Priority = priority
        self._max_tokens = max_tokens
        self._queue = FairQueue()
        self._gave_way: list[SequenceState] = []
        self._orders = count()
        self._running: dict[int, SequenceState] = {}
        self._segments: list[Segment] = []
        self.scheduled: tuple[SequenceState, ...] = ()
        self.outputs: tuple[SequenceState, ...] = ()
        self.preemptions = 0

    def add(self, sequence: SequenceState) -> None:
        """Let a sequence wait for its turn."""
        self._queue.add(sequence)

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._queue) + len(self._gave_way)

    @property
    def running(self) -> tuple[SequenceState, ...]:
        """Sequences that have a slot."""
        return tuple(self._running.values())

    def next(self) -> Schedule | None:
        """The next schedule; None when nothing can be done, or only once the host has chosen."""
        self._admit()
        while feeds := self._feeds():
            steps = self._affordable(feeds, self._steps(feeds))
            if steps is not None:
                return self._schedule(feeds, steps)
            if any(each.choosing for each in self.running):
                return None
            self._preempt(max(self.running, key=lambda each: each.order))
        return None

    def take(self, sampled: Sampled) -> SequenceState:
        """Note a generated token; its sequence. What the host is to choose is left out."""
        sequence = self._running[sampled.slot]
        if not sequence.hosted:
            self._take(sequence, sampled.token)
        return sequence

    def finish(self) -> None:
        """The schedule has ended: what has ended with it makes room."""
        for segment in self._segments:
            sequence = self._running[segment.slot]
            sequence.was_fed(segment)
            self.places.keep(sequence, segment.start)
            sequence.choosing = sequence.hosted and len(segment.outputs) > 0
            if sequence.finish_reason is not None:
                self._remove(sequence)
        self._segments = []

    def choose(self, sequence: SequenceState, token: int, *, last: bool) -> None:
        """Note the token that the host has chosen, between schedules or during one without it.

        last: whether nothing may follow.
        """
        sequence.choosing = False
        self._take(sequence, token)
        if last and sequence.finish_reason is None:
            sequence.finish_reason = "stop"
        if sequence.finish_reason is not None:
            self._remove(sequence)

    def drop(self, sequence: SequenceState) -> None:
        """Forget a sequence, between schedules or during one without it."""
        sequence.finish_reason = sequence.finish_reason or "cancelled"
        sequence.choosing = False
        if sequence.slot >= 0:
            self._remove(sequence)
        elif not self._queue.remove(sequence) and sequence in self._gave_way:
            self._gave_way.remove(sequence)

    def _take(self, sequence: SequenceState, token: int) -> None:
        sequence.take(token)
        self._queue.charge(sequence.client, GENERATED_COST)

    def _admit(self) -> None:
        """Give slots and blocks to those whose turn it is; none is passed over."""
        while first := (self._gave_way[0] if self._gave_way else self._queue.first()):
            # Each of the others may need a block soon.
            if not self.places.admit(first, spare=len(self._running)):
                return
            if first.order < 0:
                first.order = next(self._orders)
                self._queue.remove(first)
                self._queue.charge(first.client, len(first.prompt) - first.cached)
            else:
                self._gave_way.remove(first)
            self._running[first.slot] = first

    def _feeds(self) -> list[Feed]:
        """What each sequence is fed in the next step."""
        active = [each for each in self.running if not each.choosing]
        return next_feeds(active, self._max_tokens, self._priority, self.places)

    def _steps(self, feeds: list[Feed]) -> int:
        """Steps of the schedule: one while prompts are being read, none if nobody decodes yet."""
        ending = [feed.sequence for feed in feeds if feed.gives_logits]
        if not ending:
            return 0
        reading = any(not each.choosing for each in self.running if each not in ending)
        if reading or any(each.hosted for each in ending):
            return 1
        return STEPS if all(each.produced for each in ending) else FIRST_STEPS

    def _affordable(self, feeds: list[Feed], steps: int) -> int | None:
        """The most steps, up to so many, for which there are blocks; None if not for one."""
        growing = [feed.sequence for feed in feeds if feed.gives_logits]
        for fewer in range(steps, min(steps, 1) - 1, -1):
            need = sum(self.places.missing(each, each.known + fewer - 1) for each in growing)
            if need <= self.places.pool.available:
                return fewer
        return None

    def _schedule(self, feeds: list[Feed], steps: int) -> Schedule:
        for feed in feeds:
            if feed.gives_logits:
                self.places.grow(feed.sequence, feed.sequence.known + steps - 1)
        self._segments = [feed.sequence.segment(feed.tokens) for feed in feeds]
        self.scheduled = tuple(feed.sequence for feed in feeds)
        self.outputs = tuple(feed.sequence for feed in feeds if feed.gives_logits)
        return Schedule(tuple(self._segments), steps, until_end=self.waiting > 0)

    def _preempt(self, sequence: SequenceState) -> None:
        """Take a sequence's blocks; it goes on as soon as there are enough."""
        self._remove(sequence)
        sequence.preemptions += 1
        self.preemptions += 1
        insort(self._gave_way, sequence, key=lambda each: each.order)

    def _remove(self, sequence: SequenceState) -> None:
        del self._running[sequence.slot]
        self.places.release(sequence)
