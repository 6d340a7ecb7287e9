"""The record of a sequence: how its tokens are drawn, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen import abi
from headrace.codegen.frame import Frame
from headrace.codegen.tile import F32, F64, I64, Emitter, Value


@dataclass(frozen=True, slots=True)
class SequenceRecord:
    """Access to the record of one slot; see `abi.SEQUENCE_WORDS`."""

    e: Emitter
    base: Value

    @classmethod
    def of_slot(cls, frame: Frame, slot: Value) -> SequenceRecord:
        """The record of the sequence in a slot (i64)."""
        records = frame.get("sequences")
        return cls(frame.e, frame.e.offset(records, slot * abi.SEQUENCE_STRIDE, I64))

    def place(self, name: str) -> Value:
        """The address of a word."""
        return self.e.offset(self.base, abi.SEQUENCE_WORDS[name], I64)

    def word(self, name: str, type: ir.Type = I64) -> Value:
        return self.e.load(self.place(name), type)

    def real(self, name: str) -> Value:
        """A word that holds a float64, as float32."""
        return Value(self.e, self.e.builder.fptrunc(self.word(name, F64).raw, F32))
