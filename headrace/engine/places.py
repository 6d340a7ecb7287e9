"""Slots and KV blocks of the sequences that run (PagedAttention, Kwon et al. 2023).

A sequence has the blocks of the tokens that are known, and takes others as it grows. Full blocks
are found again by what they hold: those of another sequence that began with the same tokens, or of
its own before it had to give way.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.engine.blocks import BlockPool, blocks_for
from headrace.engine.sequence import SequenceState
from headrace.runtime.schedule import KV_BLOCK


@dataclass(frozen=True, slots=True)
class Place:
    """A slot and blocks that no sequence of the scheduler has."""

    slot: int
    blocks: list[int]


class Places:
    """Who is where.

    Attributes:
        slots: that there are.
        moved: sequences whose blocks have changed since `settle`.
        queries: tokens of prompts that were looked for; hits: those that were found.
    """

    def __init__(self, pool: BlockPool, slots: int) -> None:
        self.pool, self.slots = pool, slots
        self._slots = list(reversed(range(slots)))
        self.moved: dict[SequenceState, None] = {}
        self.queries = self.hits = 0

    @property
    def free_slots(self) -> int:
        return len(self._slots)

    def settle(self) -> list[SequenceState]:
        """The sequences whose blocks have changed since the last call."""
        moved, self.moved = list(self.moved), {}
        return moved

    def admit(self, sequence: SequenceState, spare: int) -> bool:
        """Give a sequence a slot and the blocks of its tokens; whether there were enough.

        spare: blocks that must be left for others.
        """
        if not self._slots:
            return False
        cached, fed = sequence.cached, sequence.fed
        self.adopt(sequence)
        need = blocks_for(sequence.known) - len(sequence.blocks)
        if self.pool.available < need + spare:
            self.pool.give(reversed(sequence.blocks))
            sequence.blocks, sequence.cached, sequence.fed = [], cached, fed
            return False
        sequence.blocks += self.pool.take(need) or []
        sequence.slot = self._slots.pop()
        self.moved[sequence] = None
        if not sequence.preemptions:
            self.queries += len(sequence.prompt)
            self.hits += sequence.cached
        return True

    def adopt(self, sequence: SequenceState) -> None:
        """Let a sequence use blocks that hold what it would compute next.

        At least its last token is left to be fed: its logits are wanted.
        """
        while sequence.fed % KV_BLOCK == 0 and sequence.fed + KV_BLOCK < sequence.known:
            index = sequence.fed // KV_BLOCK
            block = self.pool.find(sequence.key(index))
            if block is None:
                return
            self._replace(sequence, index, block)
            sequence.fed += KV_BLOCK
            if not sequence.preemptions:
                sequence.cached += KV_BLOCK
                self.hits += KV_BLOCK * (sequence.slot >= 0)

    def missing(self, sequence: SequenceState, entries: int) -> int:
        """Blocks that a sequence lacks for so many entries, if it comes to have so many."""
        return max(blocks_for(min(entries, sequence.positions)) - len(sequence.blocks), 0)

    def grow(self, sequence: SequenceState, entries: int) -> None:
        """Give a sequence the blocks that it lacks; there must be enough."""
        if count := self.missing(sequence, entries):
            taken = self.pool.take(count)
            assert taken is not None
            sequence.blocks += taken
            self.moved[sequence] = None

    def keep(self, sequence: SequenceState, start: int) -> None:
        """Let the blocks be found that have become full since `start` entries were there."""
        for index in range(start // KV_BLOCK, sequence.fed // KV_BLOCK):
            self.pool.name(sequence.blocks[index], sequence.key(index))

    def release(self, sequence: SequenceState) -> None:
        """Take a sequence's slot and blocks back."""
        self._slots.append(sequence.slot)
        self.pool.give(reversed(sequence.blocks))
        self.moved.pop(sequence, None)
        sequence.slot, sequence.blocks, sequence.fed = -1, [], 0

    def lend(self, tokens: int) -> Place | None:
        """A place for so many entries, until it is taken back; None if there is none now."""
        blocks = self.pool.take(blocks_for(tokens)) if self._slots else None
        return None if blocks is None else Place(self._slots.pop(), blocks)

    def take_back(self, place: Place) -> None:
        self._slots.append(place.slot)
        self.pool.give(place.blocks)

    def _replace(self, sequence: SequenceState, index: int, block: int) -> None:
        if index == len(sequence.blocks):
            sequence.blocks.append(block)
            return
        self.pool.give([sequence.blocks[index]])
        sequence.blocks[index] = block
        self.moved[sequence] = None
