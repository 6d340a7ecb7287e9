"""Clients wait in lines of their own and get equal shares."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.fair import FairQueue
from headrace.engine.sequence import SequenceState
from headrace.runtime.schedule import Sampling


def waiting(client: str, tokens: int) -> SequenceState:
    return SequenceState(np.zeros(tokens, np.int32), 1, Sampling(), (), client)


def served(queue: FairQueue, count: int) -> list[SequenceState]:
    """Take so many out, each charged by its tokens."""
    taken: list[SequenceState] = []
    for _ in range(count):
        first = queue.first()
        assert first is not None
        assert queue.remove(first)
        queue.charge(first.client, len(first.prompt))
        taken.append(first)
    return taken


def test_one_client_is_served_in_order() -> None:
    queue = FairQueue()
    line = [waiting("a", 5) for _ in range(4)]
    for each in line:
        queue.add(each)
    assert served(queue, 4) == line
    assert queue.first() is None
    assert not queue.remove(line[0])


@given(st.integers(1, 50), st.integers(1, 50))
def test_clients_get_equal_shares_of_tokens(small: int, large: int) -> None:
    queue = FairQueue()
    for client, tokens in (("many", small), ("long", large)):
        for _ in range(2000 // tokens):
            queue.add(waiting(client, tokens))
    tokens: Counter[str] = Counter()
    for each in served(queue, 2000 // max(small, large)):
        tokens[each.client] += len(each.prompt)
    assert abs(tokens["many"] - tokens["long"]) <= max(small, large)


def test_who_comes_late_does_not_make_up_for_it() -> None:
    queue = FairQueue()
    for _ in range(40):
        queue.add(waiting("early", 10))
    served(queue, 20)
    for _ in range(20):
        queue.add(waiting("late", 10))
    clients = Counter(each.client for each in served(queue, 20))
    assert clients == {"early": 10, "late": 10}


def test_who_comes_when_nobody_waits_is_no_better_than_who_waited_last() -> None:
    queue = FairQueue()
    queue.add(waiting("early", 1000))
    served(queue, 1)
    queue.add(waiting("late", 10))
    queue.add(waiting("early", 10))
    assert [each.client for each in served(queue, 2)] == ["late", "early"]
    for _ in range(4):
        queue.add(waiting("late", 10))
        queue.add(waiting("early", 10))
    clients = Counter(each.client for each in served(queue, 4))
    assert clients == {"early": 2, "late": 2}


def test_clients_who_are_gone_are_forgotten() -> None:
    queue = FairQueue()
    for index in range(10_000):
        queue.charge(f"{index}", 1)
    assert len(queue._served) <= 4096  # pyright: ignore[reportPrivateUsage]
