"""The scheduler against a KV cache that remembers whose tokens are where.

`Cache` does what the native program does with a schedule, but keeps token ids for keys and values:
what a sequence sees before it is fed must be its own tokens, whoever computed them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.engine.blocks import BlockPool
from headrace.engine.scheduler import Scheduler
from headrace.engine.sequence import SequenceState
from headrace.runtime.mailbox import Sampled
from headrace.runtime.schedule import KV_BLOCK, Sampling, Schedule

MOST_TOKENS = 40
SLOTS = 5


class Cache:
    """Entries by block and place; a token follows from all before it."""

    def __init__(self, blocks: int) -> None:
        self.entries = np.full((blocks, KV_BLOCK), -1)
        self.tables: dict[int, list[int]] = {}
        self.fed = 0

    def run(self, schedule: Schedule) -> list[Sampled]:
        rows = {each.slot: (each.start, each.tokens.tolist(), each) for each in schedule.segments}
        assert sum(len(tokens) for _, tokens, _ in rows.values()) <= MOST_TOKENS
        sampled: list[Sampled] = []
        left = {each.slot: each.limit for each in schedule.segments}
        for _ in range(max(schedule.steps, 1)):
            ended = False
            for slot, (start, tokens, segment) in list(rows.items()):
                self.feed(slot, start, tokens)
                del rows[slot]
                if not len(segment.outputs):
                    continue
                token = self.following(slot, start + len(tokens))
                sampled.append(Sampled(slot, token))
                left[slot] -= 1
                if left[slot] and token not in segment.stops:
                    rows[slot] = (start + len(tokens), [token], segment)
                else:
                    ended = True
            if not rows or (ended and schedule.until_end):
                break
        return sampled

    def feed(self, slot: int, start: int, tokens: list[int]) -> None:
        for place, token in enumerate(tokens, start):
            self.entries[self.tables[slot][place // KV_BLOCK], place % KV_BLOCK] = token
        self.fed += len(tokens)

    def following(self, slot: int, length: int) -> int:
        blocks = self.tables[slot][: -(-length // KV_BLOCK)]
        seen = self.entries[blocks].reshape(-1)[:length]
        assert (seen >= 0).all()
        return next_token(seen.tolist())


def next_token(tokens: list[int]) -> int:
    return hash(tuple(tokens)) % 97


def alone(sequence: SequenceState) -> list[int]:
    tokens = sequence.prompt.tolist()
    for _ in range(sequence.limit):
        tokens.append(next_token(tokens))
        if tokens[-1] in sequence.stops:
            break
    return tokens[len(sequence.prompt) :]


def sequence(
    prompt: list[int], limit: int, client: str = "", *, hosted: bool = False
) -> SequenceState:
    tokens = np.array(prompt, np.int32)
    return SequenceState(tokens, limit, Sampling(), (), client=client, hosted=hosted)


def run(
    scheduler: Scheduler, cache: Cache, between: Callable[[], None] = lambda: None
) -> list[Schedule]:
    """Run all that there is; the host chooses after the next schedule, as late as it may."""
    schedules: list[Schedule] = []
    pending: list[tuple[SequenceState, int]] = []
    while True:
        schedule = scheduler.next()
        due, pending = pending, []
        if schedule is not None:
            for each in scheduler.places.settle():
                cache.tables[each.slot] = list(each.blocks)
            for sampled in cache.run(schedule):
                taken = scheduler.take(sampled)
                if taken.hosted:
                    pending.append((taken, sampled.token))
            scheduler.finish()
            schedules.append(schedule)
        elif not due:
            return schedules
        for chosen, token in due:
            if chosen.finish_reason is None:
                scheduler.choose(chosen, token, last=False)
        between()


@st.composite
def workloads(draw: st.DrawFn) -> list[SequenceState]:
    """Sequences of which some begin with the same tokens."""
    beginnings = [[*range(70)], [*range(63), *range(80)], [*range(64), *range(80)], [5] * 200]
    found: list[SequenceState] = []
    for _ in range(draw(st.integers(1, 9))):
        shared = draw(st.sampled_from(beginnings))
        prompt = [*shared[: draw(st.integers(0, len(shared)))], draw(st.integers(0, 2))]
        client = draw(st.sampled_from("ab"))
        limit = draw(st.integers(1, 150))
        found.append(sequence(prompt, limit, client, hosted=draw(st.booleans())))
    return found


@settings(max_examples=80, deadline=None)
@given(workloads(), st.integers(6, 14), st.sampled_from(["prompts", "decoding"]), st.data())
def test_every_sequence_gets_its_own_answer(
    work: list[SequenceState], blocks: int, priority: str, data: st.DataObject
) -> None:
    pool = BlockPool(blocks)  # the longest sequence has 351 tokens: 6 blocks
    scheduler = Scheduler(pool, MOST_TOKENS, priority, SLOTS)  # pyright: ignore
    late = work[len(work) // 2 :]
    cancelled: set[int] = set()
    for each in work[: len(work) // 2]:
        scheduler.add(each)

    def between() -> None:
        if late:
            scheduler.add(late.pop())
        victim = data.draw(st.integers(0, 60))
        if victim < len(work) and work[victim] not in late and not work[victim].finish_reason:
            scheduler.drop(work[victim])
            cancelled.add(victim)

    cache = Cache(blocks)
    run(scheduler, cache, between)
    while late:
        scheduler.add(late.pop())
        run(scheduler, cache)
    assert pool.used == 0
    assert scheduler.places.free_slots == SLOTS
    for index, each in enumerate(work):
        if index not in cancelled:
            assert each.produced == alone(each)
            assert each.finish_reason == "length"


def test_a_prompt_that_is_there_is_not_computed_again() -> None:
    cache, scheduler = Cache(20), Scheduler(BlockPool(20), MOST_TOKENS)
    prompt = list(range(200))
    first = sequence(prompt, 30)
    scheduler.add(first)
    run(scheduler, cache)
    assert first.cached == 0
    # The next turn of a chat: the prompt, the answer, and something more.
    before = cache.fed
    second = sequence(prompt + first.produced + [1, 2], 1)
    scheduler.add(second)
    run(scheduler, cache)
    assert second.cached == 229 // KV_BLOCK * KV_BLOCK == 192
    assert cache.fed - before == 232 - 192
    assert scheduler.places.queries == 200 + 232
    assert scheduler.places.hits == 192


def test_prompts_that_come_together_are_computed_once() -> None:
    cache, scheduler = Cache(40), Scheduler(BlockPool(40), MOST_TOKENS)
    for last in range(5):
        scheduler.add(sequence([*range(256), last], 1))
    run(scheduler, cache)
    assert cache.fed == 256 + 5
    assert scheduler.places.hits == 4 * 256


def test_at_least_the_last_token_is_computed() -> None:
    cache, scheduler = Cache(20), Scheduler(BlockPool(20), MOST_TOKENS)
    for _ in range(2):
        each = sequence(list(range(128)), 3)
        scheduler.add(each)
        run(scheduler, cache)
        assert each.produced == alone(each)
    assert each.cached == 64


def test_the_youngest_gives_way_and_goes_on() -> None:
    cache, scheduler = Cache(6), Scheduler(BlockPool(6), MOST_TOKENS)
    old, young = sequence([1], 300), sequence([2], 300)
    scheduler.add(old)
    scheduler.add(young)
    run(scheduler, cache)
    assert (old.preemptions, young.preemptions) == (0, 1)
    assert (old.produced, young.produced) == (alone(old), alone(young))
    assert scheduler.preemptions == 1


@pytest.mark.parametrize("decoding", [1, 20, 32])
def test_prompts_leave_room_for_those_that_decode(decoding: int) -> None:
    scheduler = Scheduler(BlockPool(200), 256)
    for index in range(decoding):
        each = sequence([index, 5], 500)
        each.fed = 1
        scheduler.add(each)
    scheduler.add(sequence([7] * 1000, 5))
    schedule = scheduler.next()
    assert schedule is not None
    assert schedule.steps == 1
    assert schedule.tokens - decoding == max(8, 5 * decoding // 8)
