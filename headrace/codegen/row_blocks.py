"""Blocks of samples: a stage hands rows on before it has done all of them (BatchStreaming).

A step of many tokens is cut into a few blocks of rows. The stage that appends keys and values does
one block after the other and counts each; attention does not wait for the stage, but for the block
that has an item's last row. Who has less to do in one stage begins the next: the waits that are
left are those of whole layers. A step of few tokens is one block, and waits as other stages do.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.codegen.frame import Frame
from headrace.codegen.tile import Emitter, Value
from headrace.codegen.tokens import await_word, raise_word

#: Blocks of a step at most; rows of a block: a multiple of these, of which a product makes whole
#: blocks of tokens.
MOST_BLOCKS, UNIT_ROWS = 4, 24


@dataclass(frozen=True, slots=True)
class RowBlocks:
    """The blocks of a step's rows, in code that has the worker's frame."""

    e: Emitter
    frame: Frame

    @property
    def rows(self) -> Value:
        """Rows of a block; the last may have fewer."""
        most = MOST_BLOCKS * UNIT_ROWS
        return (self.frame.get("tokens") + (most - 1)) // most * UNIT_ROWS

    @property
    def count(self) -> Value:
        return (self.frame.get("tokens") + self.rows - 1) // self.rows

    @contextmanager
    def each(self) -> Generator[tuple[Value, Value]]:
        """A loop over the blocks: the first row and how many there are; each is handed on."""
        e, tokens, rows = self.e, self.frame.get("tokens"), self.rows
        with e.range(0, tokens, rows) as first:
            yield first, e.minimum(rows, tokens - first)
            self._hand_on()

    def _hand_on(self) -> None:
        """Count one more block, where readers look for it."""
        e, frame = self.e, self.frame
        done = frame.get("blocks_done") + 1
        frame.set("blocks_done", done)
        own = frame.get("worker")
        place, sleepers = (frame.worker_place(name, own) for name in ("blocks", "block_sleepers"))
        raise_word(e, place, sleepers, done)

    def wait_for(self, row: Value, workers: int) -> None:
        """Wait until all workers have handed on the block of a row, in this execution.

        All have handed on equally many blocks when they have ended the stage, as this one has.
        """
        e, frame = self.e, self.frame
        target = frame.get("blocks_done") - self.count + row // self.rows + 1
        wait = await_word(e.module, e.features)
        spins, yields = frame.control_word("spins"), frame.control_word("yields")
        with e.range(0, workers) as other:
            place = frame.worker_place("blocks", other)
            e.call(wait, place, frame.worker_place("block_sleepers", other), target, spins, yields)
