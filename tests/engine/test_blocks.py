"""KV blocks: none is lost, none is used twice, and what is found is what was kept."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headrace.engine.blocks import BlockPool
from headrace.engine.prefix import block_key

COUNT = 6
KEYS = st.integers(0, 7).map(lambda number: b"%d" % number)


class Pool(RuleBasedStateMachine):
    """Takers, finders and givers, in any order, against a plain list of who uses what."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(COUNT)
        self.uses: list[int] = []
        self.keys: dict[int, bytes] = {}

    @rule(count=st.integers(0, COUNT))
    def take(self, count: int) -> None:
        before = self.pool.available
        blocks = self.pool.take(count)
        if blocks is None:
            assert count > before
            return
        assert not set(blocks) & set(self.uses)
        assert len(set(blocks)) == count
        for block in blocks:
            self.keys.pop(block, None)
        self.uses += blocks

    @rule(key=KEYS)
    def find(self, key: bytes) -> None:
        block = self.pool.find(key)
        if block is None:
            assert key not in self.keys.values()
            return
        assert self.keys[block] == key
        self.uses.append(block)

    @rule(at=st.integers(0, 20), key=KEYS)
    def name(self, at: int, key: bytes) -> None:
        unnamed = sorted(set(self.uses) - set(self.keys))
        if unnamed:
            block = unnamed[at % len(unnamed)]
            self.pool.name(block, key)
            if key not in self.keys.values():
                self.keys[block] = key

    @rule(at=st.integers(0, 20))
    def give(self, at: int) -> None:
        if self.uses:
            self.pool.give([self.uses.pop(at % len(self.uses))])

    @invariant()
    def all_are_counted(self) -> None:
        used = set(self.uses)
        assert self.pool.used == len(used)
        assert self.pool.available == COUNT - len(used)
        assert self.pool.kept == len(set(self.keys) - used)

    def teardown(self) -> None:
        self.pool.give(self.uses)
        assert self.pool.used == 0
        assert sorted(self.pool.take(COUNT) or []) == list(range(COUNT))


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_was_used_longest_ago_is_lost_first() -> None:
    pool = BlockPool(3)
    blocks = pool.take(3)
    assert blocks is not None
    for block in blocks:
        pool.name(block, b"%d" % block)
    pool.give(blocks)
    assert pool.find(b"%d" % blocks[0]) == blocks[0]
    pool.give([blocks[0]])
    assert pool.take(2) == blocks[1:]
    assert pool.find(b"%d" % blocks[0]) == blocks[0]


def test_keys_depend_on_all_tokens_so_far() -> None:
    one, other = np.arange(64, dtype=np.int32), np.arange(1, 65, dtype=np.int32)
    keys = {
        block_key(before, tokens)
        for before in (b"", block_key(b"", one), block_key(b"", other))
        for tokens in (one, other)
    }
    assert len(keys) == 6
    assert block_key(b"", one) == block_key(b"", one.copy())
