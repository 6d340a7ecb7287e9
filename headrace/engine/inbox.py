"""Orders from other threads, for the one that does them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

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

    def take(self, *, wait: bool) -> list[Order]:
        """All orders that there are. wait: sleep until there is one."""
        with self._came:
            while wait and not self._orders:
                self._came.wait()
            orders = list(self._orders)
            self._orders.clear()
            self.urgent = False
            return orders
