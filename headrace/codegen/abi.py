"""The memory that the runtime and the native program share: one definition for both sides.

The control block is an array of 64-bit words. Words that different threads write lie in different
cache lines. All words are integers or addresses.
"""

from __future__ import annotations

from enum import IntEnum

#: Positions of one KV block.
KV_BLOCK = 64

#: Sequences that a step can have, and rows of logits that it can give.
MAX_SEQUENCES = 64
MAX_OUTPUTS = MAX_SEQUENCES

#: Most candidate stop tokens of a sequence.
MAX_STOPS = 64

_LINE_WORDS = 8

#: Words written by the host before it raises `epoch`; worker 0 writes counts for the next step.
_SCHEDULE = (
    "command",
    "token_count",
    "output_count",
    "sampling",
    "steps_left",
    "until_end",
    "sweep_passes",
    "tokens",
    "positions",
    "slots",
    "segments",
    "segment_count",
    "outputs",
    "sampled",
    "sequences",
    "ring",
    "block_table",
    "table_stride",
    "capacity",
    "shared",
    "cache",
    "cache_sweep",
    "vectors",
    "rows",
    "tables",
    "spins",
    "yields",
)

#: Words that stand alone in their lines because another thread polls or counts in them.
_POLLED = ("epoch", "finished", "cancel", "ring_count", "go", "claims")

_WORDS: dict[str, int] = {
    **{name: index for index, name in enumerate(_SCHEDULE)},
    **{name: 4 * _LINE_WORDS + index * _LINE_WORDS for index, name in enumerate(_POLLED)},
}

#: Words from a polled word to the count of who sleeps on it, in the same line.
SLEEPERS = 4

#: Words a worker, in lines of their own: its counter; who sleeps on it; its own addresses; the
#: blocks of rows that it has handed on, and who sleeps on those.
WORKER_WORDS = {
    "counter": 0,
    "sleepers": 8,
    "stream": 16,
    "private": 17,
    "trace": 18,
    "blocks": 24,
    "block_sleepers": 28,
}
WORKER_STRIDE = 32
WORKERS_AT = 4 * _LINE_WORDS + len(_POLLED) * _LINE_WORDS

_SEQUENCE = ("temperature", "top_k", "top_p", "min_p", "seed", "stops", "stop_count", "left")

#: Words of the record of one slot's sequence: how its tokens are drawn, and when it ends: at a stop
#: token, or when none are `left`.
SEQUENCE_WORDS = {name: index for index, name in enumerate(_SEQUENCE)}
SEQUENCE_STRIDE = _LINE_WORDS


class Command(IntEnum):
    """What the workers are asked to do when `epoch` rises."""

    EXIT = 0
    RUN = 1
    SWEEP = 2


def word(name: str) -> int:
    """The index of a word of the control block."""
    return _WORDS[name]


def worker_word(worker: int, name: str) -> int:
    return WORKERS_AT + worker * WORKER_STRIDE + WORKER_WORDS[name]


def control_words(workers: int) -> int:
    """The size of the control block in words."""
    return WORKERS_AT + workers * WORKER_STRIDE
