"""Whose sequence is next: clients get equal shares, whatever they ask for.

Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", 2024): the next
sequence is one of the client who has been served least. A client who comes to wait is counted as
served no less than those who wait already, or than the one who waited last: nobody saves up.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from headrace.engine.sequence import SequenceState

#: Clients that are remembered while nothing of theirs waits.
_CLIENTS = 4096


class FairQueue:
    """Sequences that wait, those of one client in the order in which they came."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[SequenceState]] = {}
        self._served: OrderedDict[str, int] = OrderedDict()
        self._last = ""
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, sequence: SequenceState) -> None:
        """Let a sequence wait behind those of its client."""
        client = sequence.client
        if client not in self._lines:
            self.charge(client, max(self._least() - self._counter(client), 0))
            self._lines[client] = deque()
        self._lines[client].append(sequence)
        self._waiting += 1

    def first(self) -> SequenceState | None:
        """The sequence whose turn it is; None if nobody waits."""
        if not self._lines:
            return None
        return self._lines[min(self._lines, key=self._counter)][0]

    def remove(self, sequence: SequenceState) -> bool:
        """Let a sequence wait no more; whether it did."""
        line = self._lines.get(sequence.client)
        if line is None or sequence not in line:
            return False
        line.remove(sequence)
        self._waiting -= 1
        if not line:
            del self._lines[sequence.client]
            self._last = sequence.client
        return True

    def charge(self, client: str, cost: int) -> None:
        """Note that a client has been served."""
        self._served[client] = self._counter(client) + cost
        self._served.move_to_end(client)
        if len(self._served) > _CLIENTS:
            self._served.popitem(last=False)

    def _counter(self, client: str) -> int:
        return self._served.get(client, 0)

    def _least(self) -> int:
        return min(map(self._counter, self._lines or (self._last,)))
