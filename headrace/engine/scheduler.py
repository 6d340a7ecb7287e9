"""Which sequences a schedule has, and how much of their prompts: continuous batching.

Sequences come in turn as soon as a slot and KV blocks are free (Orca, Yu et al. 2022). Beside
sequences that decode, prompts are fed in chunks (Sarathi-Serve, Agrawal et al. 2024). Where
decoding has priority, a chunk has so few tokens that no step takes longer than two without it.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from headrace.engine.blocks import BlockPool, blocks_for
from headrace.engine.sequence import SequenceState
from headrace.runtime.mailbox import Sampled
from headrace.runtime.schedule import MAX_SEQUENCES, Schedule, Segment

FIRST_STEPS = 8  # the first words appear early
STEPS = 32  # the gain of longer schedules flattens near 20

#: Tokens of prompts beside few decoding sequences: a step of so many reads the weights once, as a
#: step of one does, and takes less than twice its time.
LEAST_CHUNK = 8


#: What a step makes room for first: `prompts` gives the most tokens a second, `decoding` lets no
#: sequence wait for another one's prompt.
Priority = Literal["prompts", "decoding"]


class Scheduler:
    """Decides what the native program does next; `next`, then `take` for each token, then `finish`.

    Args:
        blocks: KV blocks that there are. max_tokens: of one step.
        slots: sequences at once, at most.

    Attributes:
        admitted: sequences that got slot and blocks for the last schedule.
    """

    def __init__(
        self,
        blocks: int,
        max_tokens: int,
        priority: Priority = "decoding",
        slots: int = MAX_SEQUENCES,
    ) -> None:
        self._pool = BlockPool(blocks)
        self._priority = priority
        self._slots = list(reversed(range(slots)))
        self._max_tokens = max_tokens
        self._waiting: deque[SequenceState] = deque()
        self._running: dict[int, SequenceState] = {}
        self._segments: list[Segment] = []
        self.admitted: list[SequenceState] = []

    def add(self, sequence: SequenceState) -> None:
        """Let a sequence wait for its turn."""
        self._waiting.append(sequence)

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._waiting)

    @property
    def running(self) -> tuple[SequenceState, ...]:
        """Sequences that have a slot."""
        return tuple(self._running.values())

    @property
    def free_blocks(self) -> int:
        return self._pool.free

    def next(self) -> Schedule | None:
        """The next schedule; None when nothing is left to do."""
        self._admit()
        if not self._running:
            return None
        decoding = [each for each in self._running.values() if not each.unread]
        reading = [each for each in self._running.values() if each.unread]
        self._segments = [each.segment(1) for each in decoding]
        left = self._chunk(len(decoding))
        for sequence in reading:
            if left > 0:
                segment = sequence.segment(left)
                self._segments.append(segment)
                left -= len(segment.tokens)
        return Schedule(tuple(self._segments), self._steps(), until_end=bool(self._waiting))

    @property
    def scheduled(self) -> tuple[SequenceState, ...]:
        """The sequences of the last schedule."""
        return tuple(self._running[segment.slot] for segment in self._segments)

    def take(self, sampled: Sampled) -> SequenceState:
        """Note a generated token; its sequence."""
        sequence = self._running[sampled.slot]
        sequence.take(sampled.token)
        return sequence

    def finish(self) -> None:
        """The schedule has ended: what has ended with it makes room."""
        for segment in self._segments:
            sequence = self._running[segment.slot]
            sequence.was_fed(segment)
            if sequence.finish_reason is not None:
                self._remove(sequence)
        self._segments = []

    def cancel(self, sequence: SequenceState) -> None:
        """Drop a sequence, between schedules."""
        if sequence.finish_reason is not None:
            return
        sequence.finish_reason = "cancelled"
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        elif sequence.slot in self._running:
            self._remove(sequence)

    def _admit(self) -> None:
        """Give slots and blocks to those that have waited longest; none is passed over."""
        self.admitted = []
        while self._waiting and self._slots:
            first = self._waiting[0]
            blocks = self._pool.take(blocks_for(first.positions))
            if blocks is None:
                return
            first.blocks, first.slot = blocks, self._slots.pop()
            self._running[first.slot] = self._waiting.popleft()
            self.admitted.append(first)

    def _remove(self, sequence: SequenceState) -> None:
        del self._running[sequence.slot]
        self._slots.append(sequence.slot)
        self._pool.give(sequence.blocks)
        sequence.slot, sequence.blocks = -1, []

    def _chunk(self, decoding: int) -> int:
        """Tokens of prompts that the next step takes."""
        most = self._max_tokens - decoding
        if not decoding or self._priority == "prompts":
            return most
        return min(max(3 * decoding // 4, LEAST_CHUNK), most)

    def _steps(self) -> int:
        """Steps of the schedule: one while prompts are being read, none if nobody decodes yet."""
        fed = {segment.slot: segment for segment in self._segments}
        if not any(len(segment.outputs) for segment in self._segments):
            return 0
        if any(
            each.slot not in fed or not (len(fed[each.slot].outputs))
            for each in self._running.values()
        ):
            return 1
        starts = any(not self._running[slot].produced for slot in fed)
        return FIRST_STEPS if starts else STEPS
