"""What sequences are fed in the next step: one token where they decode, else part of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.engine.places import Places
from headrace.engine.sequence import SequenceState
from headrace.runtime.schedule import KV_BLOCK

#: Tokens of prompts beside few decoding sequences: a step of so many reads the weights once, as a
#: step of one does, and takes less than twice its time.
LEAST_CHUNK = 8

#: What a step makes room for first: `prompts` gives the most tokens a second, `decoding` lets no
#: sequence wait for another one's prompt.
Priority = Literal["prompts", "decoding"]


@dataclass(frozen=True, slots=True)
class Feed:
    """The next `tokens` tokens of a sequence."""

    sequence: SequenceState
    tokens: int

    @property
    def gives_logits(self) -> bool:
        """Whether the sequence's last token is among them."""
        return self.tokens == self.sequence.unread


def next_feeds(
    sequences: Sequence[SequenceState], max_tokens: int, priority: Priority, places: Places
) -> list[Feed]:
    """What a step takes of each of the sequences, which are in the order of their turns.

    Prompts that begin the same are computed once: who would compute a block that another computes
    in this step waits for it.
    """
    feeds = [Feed(each, 1) for each in sequences if each.decodes]
    reading = [each for each in sequences if not each.decodes]
    left = _chunk(len(feeds), len(reading), max_tokens, priority)
    computed: set[bytes] = set()
    for each in reading:
        places.adopt(each)
        keys = _keys(each, left)
        if left > 0 and not (keys and keys[0] in computed):
            feeds.append(Feed(each, min(left, each.unread)))
            left -= feeds[-1].tokens
            computed.update(keys)
    return feeds


def _chunk(decoding: int, reading: int, max_tokens: int, priority: Priority) -> int:
    """Tokens of prompts that the next step takes: more where few decode and many read."""
    most = max_tokens - decoding
    if not decoding or priority == "prompts":
        return most
    return min(max(5 * decoding // 8, LEAST_CHUNK, LEAST_CHUNK * reading // decoding), most)


def _keys(sequence: SequenceState, tokens: int) -> list[bytes]:
    """Keys of the blocks that feeding so many tokens begins or goes on with, if they come full."""
    last = min(sequence.fed + tokens - 1, sequence.known - 1) // KV_BLOCK
    full = sequence.known // KV_BLOCK
    return [sequence.key(block) for block in range(sequence.fed // KV_BLOCK, min(last + 1, full))]
