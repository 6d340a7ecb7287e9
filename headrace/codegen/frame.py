"""A worker's frame: what every stage's code needs to know, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen import abi
from headrace.codegen.tile import I32, I64, PTR, Emitter, Value

#: Words of a frame, in order.
FIELDS = (
    "control",
    "worker",
    "tokens",
    "outputs",
    "trip",
    "sequence",
    "stream",
    "private",
    "shared",
    "cache",
    "vectors",
    "rows",
    "tables",
    "capacity",
    "token_ids",
    "positions",
    "slots",
    "segments",
    "segment_count",
    "claim_base",
    "blocks_done",
    "output_rows",
    "sampled",
    "sequences",
    "block_table",
    "table_stride",
    "prefetched",
    "trace",
    "record",
)
_POINTERS = frozenset(
    (
        "control",
        "stream",
        "private",
        "shared",
        "cache",
        "vectors",
        "rows",
        "tables",
        "token_ids",
        "positions",
        "slots",
        "segments",
        "output_rows",
        "sampled",
        "sequences",
        "block_table",
        "prefetched",
        "trace",
        "record",
    )
)

FRAME_BYTES = 8 * len(FIELDS)


@dataclass(frozen=True, slots=True)
class Frame:
    """Access to a frame's fields from the code of a stage."""

    e: Emitter
    base: Value

    def _type(self, name: str) -> ir.Type:
        return PTR if name in _POINTERS else I64

    def get(self, name: str) -> Value:
        return self.e.load(self._place(name), self._type(name))

    def set(self, name: str, value: Value) -> None:
        self.e.store(value, self._place(name))

    def _place(self, name: str) -> Value:
        return self.e.offset(self.base, 8 * FIELDS.index(name))

    def control_place(self, name: str) -> Value:
        """The address of a word of the control block."""
        return self.e.offset(self.get("control"), 8 * abi.word(name))

    def control_word(self, name: str, type: ir.Type = I64) -> Value:
        return self.e.load(self.control_place(name), type)

    def position(self, row: Value) -> Value:
        """The position (i64) of a row's token."""
        return self._entry("positions", row)

    def slot(self, row: Value) -> Value:
        """The slot (i64) of the sequence that a row's token belongs to."""
        return self._entry("slots", row)

    def output_row(self, output: Value) -> Value:
        """The row (i64) of a token whose logits are wanted."""
        return self._entry("output_rows", output)

    def _entry(self, name: str, row: Value) -> Value:
        return self.e.sext(self.e.load(self.e.offset(self.get(name), row, I32), I32), I64)

    def set_control(self, name: str, value: Value) -> None:
        self.e.store(value, self.control_place(name))

    def worker_place(self, name: str, worker: Value | int) -> Value:
        """The address of a word that belongs to one worker."""
        e = self.e
        base = e.offset(self.get("control"), 8 * (abi.WORKERS_AT + abi.WORKER_WORDS[name]))
        return e.offset(base, e.like(worker, I64) * (8 * abi.WORKER_STRIDE))


def worker_table(e: Emitter, frame: Frame, values: Sequence[int], name: str) -> Value:
    """This worker's entry in a constant table."""
    return e.load(e.offset(e.table(values, name), frame.get("worker"), I64), I64)
