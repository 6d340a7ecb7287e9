"""What follows a step: tokens go to the host, and sequences that go on make the next step."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.codegen.frame import Frame
from headrace.codegen.sequences import SequenceRecord
from headrace.codegen.tile import I32, I64, PTR, Emitter, Value, Variable


@dataclass(frozen=True, slots=True)
class Decision:
    """Emits worker 0's decision behind the sampling of a step.

    Each sampled token goes into the ring, with its slot. The sequences that go on close ranks: row
    i of the next step is the i-th of them. Outputs come in the order of their rows, so a row is
    read before it is written over.
    """

    e: Emitter
    frame: Frame

    def emit(self) -> None:
        e, frame = self.e, self.frame
        outputs = frame.get("outputs")
        kept = e.variable(e.i64(0))
        with e.range(0, outputs) as output:
            self._one(output, kept)
        frame.set_control("token_count", kept.get())
        frame.set_control("output_count", kept.get())
        frame.set_control("segment_count", kept.get())
        e.store(e.trunc(kept.get(), I32), e.offset(frame.get("segments"), kept.get(), I32))
        steps = frame.control_word("steps_left") - 1
        frame.set_control("steps_left", steps)
        ended = e.both(frame.control_word("until_end") > 0, kept.get() < outputs)
        go = e.both(kept.get() > 0, steps > 0)
        go = e.both(go, e.zext(ended, I64).equals(0))
        go = e.both(go, e.load_acquire(frame.control_place("cancel"), I64).equals(0))
        frame.set_control("go", e.zext(go, I64))

    def _one(self, output: Value, kept: Variable) -> None:
        e, frame = self.e, self.frame
        row = frame.output_row(output)
        slot, position = frame.slot(row), frame.position(row) + 1
        token = e.load(e.offset(frame.get("sampled"), output, I32), I32)
        self._tell(slot, token)
        record = SequenceRecord.of_slot(frame, slot)
        left = record.word("left") - 1
        e.store(left, record.place("left"))
        more = e.both(left > 0, position < frame.get("capacity"))
        with e.when(e.both(more, self._no_stop(record, token))):
            at = kept.get()
            for name, value in (
                ("token_ids", token),
                ("positions", e.trunc(position, I32)),
                ("slots", e.trunc(slot, I32)),
                ("segments", e.trunc(at, I32)),
                ("output_rows", e.trunc(at, I32)),
            ):
                e.store(value, e.offset(frame.get(name), at, I32))
            kept.set(at + 1)

    def _tell(self, slot: Value, token: Value) -> None:
        """Put a token into the ring: the slot in the upper half of a word."""
        e, frame = self.e, self.frame
        count = frame.control_word("ring_count")
        entry = (slot << 32) | e.zext(token, I64)
        e.store(entry, e.offset(frame.control_word("ring", PTR), count, I64))
        e.store_release(count + 1, frame.control_place("ring_count"))

    def _no_stop(self, record: SequenceRecord, token: Value) -> Value:
        e = self.e
        hits = e.variable(e.i64(0))
        stops = record.word("stops", PTR)
        with e.range(0, record.word("stop_count")) as index:
            same = e.load(e.offset(stops, index, I32), I32).equals(token)
            hits.set(hits.get() + e.zext(same, I64))
        return hits.get().equals(0)
