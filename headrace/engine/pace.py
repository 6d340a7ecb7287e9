"""How soon a place in the queue becomes free."""

from __future__ import annotations

from collections import deque
from time import monotonic

_ENDS = 32  # the last so many sequences say how fast they end
_UNKNOWN_SECONDS = 1.0  # nothing has ended yet


class Pace:
    """Watches sequences end, and sends those away who find no place.

    Each one that is sent away takes the next place that becomes free: they do not come back
    together to find that there is one place.

    places: that there are; by the time that all of them have become free, nobody is waited for.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._ends: deque[float] = deque(maxlen=_ENDS)
        self._sent_away = 0

    def ended(self) -> None:
        """A place has become free."""
        self._ends.append(monotonic())
        self._sent_away = max(self._sent_away - 1, 0)

    def retry_after(self) -> float:
        """Seconds after which somebody who finds no place should come back."""
        self._sent_away = min(self._sent_away + 1, self._places)
        return self._sent_away * self._seconds()

    def _seconds(self) -> float:
        """From one end to the next; now counts as one, so that a long silence is heeded."""
        if not self._ends:
            return _UNKNOWN_SECONDS
        return (monotonic() - self._ends[0]) / len(self._ends)
