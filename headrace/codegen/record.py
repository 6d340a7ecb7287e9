"""A worker's records of its time: one layout for the native program and for who reads it.

A recorder is a line of memory with the number of records written so far, and behind it a ring of
`RECORDS` records of one cache line each: the last ones are kept. Each record is of one execution
of a stage, or of another wait; it begins when the one before it ends, so that no time is left out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import LiteralString

import numpy as np

#: Records of a worker that are kept, a power of two: a hundred steps of thirty layers.
RECORDS = 1 << 14

#: Times are counts of the processor's time-stamp counter.
#:
#: ready: the tokens waited for were there; entered: the products' input was in its form (0: no
#: products); end: just before the signal. asleep, prefetching, epilogue: lengths of time within.
#: last: the worker whose counter came last, -1 if none had to be waited for; target: what that
#: counter had to reach. count: this worker's own counter after the signal. asked: bytes of weights
#: asked for while waiting. tokens: of the step.
RECORD = np.dtype(
    [
        ("ready", "<i8"),
        ("entered", "<i8"),
        ("end", "<i8"),
        ("asleep", "<i8"),
        ("stage", "<i2"),
        ("last", "<i2"),
        ("trip", "<i4"),
        ("count", "<u4"),
        ("target", "<u4"),
        ("tokens", "<u4"),
        ("asked", "<u4"),
        ("epilogue", "<u4"),
        ("prefetching", "<u4"),
    ]
)

#: Bytes before the first record; they hold the number of records written so far.
HEADER_BYTES = RECORD.itemsize

RECORDER_BYTES = HEADER_BYTES + RECORDS * RECORD.itemsize


class Other(IntEnum):
    """What a record is of that is of no stage, in the place of the stage's index.

    IDLE: all from the end of a command to the next one. DECISION: the wait for worker 0's word on
    whether there is a next step. SWEEP: a pure read.
    """

    IDLE = -1
    DECISION = -2
    SWEEP = -3


def place(field: LiteralString) -> int:
    """The offset of a field in a record."""
    fields = RECORD.fields
    assert fields is not None
    return fields[field][1]


def bits(field: LiteralString) -> int:
    """The width of a field."""
    fields = RECORD.fields
    assert fields is not None
    return 8 * fields[field][0].itemsize
