"""Code that records where a worker's time goes; without a trace there is none of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

from llvmlite import ir

from headrace.codegen.frame import Frame
from headrace.codegen.record import HEADER_BYTES, RECORD, RECORDS, bits, place
from headrace.codegen.tile import I8, I64, Emitter, Value, function, vector


@dataclass(frozen=True, slots=True)
class Trace:
    """Writes into a worker's current record (`codegen/record.py`), if the program is traced."""

    e: Emitter
    frame: Frame
    on: bool

    def start(self) -> None:
        """Begin the first record, when the worker starts."""
        if self.on:
            self._begin(self.frame.get("trace"), self.e.i64(0))

    def mark(self, field: LiteralString) -> None:
        """Note the time."""
        if self.on:
            self._put(field, clock(self.e))

    def note(self, field: LiteralString, value: Callable[[], Value]) -> None:
        """Note a number (i64)."""
        if self.on:
            self._put(field, value())

    @contextmanager
    def during(self, field: LiteralString) -> Generator[None]:
        """Add the time of what is emitted inside to a field."""
        before = clock(self.e) if self.on else None
        yield
        if before is not None:
            self._put(field, self._get(field) + (clock(self.e) - before))

    @contextmanager
    def asking(self, start: Value) -> Generator[None]:
        """Note the bytes of weights, from `start` on, that are asked for inside."""
        if not self.on:
            yield
            return
        e, frame = self.e, self.frame
        first = e.maximum(e.address(frame.get("prefetched")), e.address(start))
        yield
        asked = e.address(frame.get("prefetched")) - first
        self._put("asked", e.maximum(asked, e.i64(0)))

    def close(self, stage: int, trip: Value | None = None) -> None:
        """The record is of this stage (or other thing): complete it and begin the next."""
        if not self.on:
            return
        e, frame = self.e, self.frame
        self._put("stage", e.i64(stage))
        self._put("count", frame.get("sequence"))
        if trip is not None:
            self._put("trip", trip)
            self._put("tokens", frame.get("tokens"))
        base = frame.get("trace")
        count = e.load(base, I64) + 1
        e.store(count, base)
        self._begin(base, count)

    def _begin(self, base: Value, count: Value) -> None:
        e = self.e
        ring = e.offset(base, HEADER_BYTES)
        record = e.offset(ring, (count & (RECORDS - 1)) * RECORD.itemsize)
        e.store(e.const(0, vector(I8, RECORD.itemsize)), record)
        self.frame.set("record", record)
        self._put("last", e.i64(-1))

    def _put(self, field: LiteralString, value: Value) -> None:
        wide = bits(field) == I64.width
        at = self.e.offset(self.frame.get("record"), place(field))
        self.e.store(value if wide else self.e.trunc(value, ir.IntType(bits(field))), at)

    def _get(self, field: LiteralString) -> Value:
        type = ir.IntType(bits(field))
        value = self.e.load(self.e.offset(self.frame.get("record"), place(field)), type)
        return value if type.width == I64.width else self.e.zext(value, I64)


def clock(e: Emitter) -> Value:
    """The processor's time-stamp counter: it runs on at one rate, the same for all cores."""
    x86 = e.module.triple.startswith("x86_64")
    return e.intrinsic("llvm.readcyclecounter" if x86 else "llvm.readsteadycounter", I64)


def export_clock(module: ir.Module, features: frozenset[str]) -> None:
    """The function `clock()`, for the host: both sides of a trace have to meet."""
    e, _ = function(module, "clock", [], features, exported=True, result=I64)
    e.give(clock(e))
