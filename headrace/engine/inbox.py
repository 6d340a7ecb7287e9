"""Orders from other threads, for the one that does them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from math import inf

Order = Callable[[], None]


class Inbox:
    """Orders in the order in which they came; `put` is for any thread, `take` for one.

    Attributes:
        urgent: whether one of those that wait is not to wait for long.
    """

    def __init__(self) -> None:
        self._orders: deque[Order] = deque()
        self._came = threading.Condition()
        self.urgent = False

    def put(self, order: Order, *, urgent: bool) -> None:
        with self._came:
            self._orders.append(order)
            self.urgent |= urgent
            self._came.notify()

    def take(self, seconds: float) -> list[Order]:
        """All orders that there are; while there is none, sleep so long at most."""
        with self._came:
            timeout = None if seconds == inf else seconds
            self._came.wait_for(lambda: bool(self._orders), timeout)
            orders = list(self._orders)
            self._orders.clear()
            self.urgent = False
            return orders
