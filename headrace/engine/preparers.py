"""Threads for work that may take seconds, of which one client never has all."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[], None]


class Preparers:
    """Runs tasks, those of one client in the order in which they came. Safe to share by threads.

    threads: at least 2; the tasks of one client have one less, so that others need not wait.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, name)
        self._share = threads - 1
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._running: Counter[str] = Counter()
        self._lines: dict[str, deque[Task]] = {}

    def submit(self, client: str, task: Task) -> None:
        """Let a task run as soon as there is a thread for its client; it must not raise."""
        with self._lock:
            self._lines.setdefault(client, deque()).append(task)
            self._start(client)

    def close(self) -> None:
        """Run the tasks that there are, take none any more, and end the threads."""
        with self._empty:
            self._empty.wait_for(lambda: not self._lines)
        self._pool.shutdown()

    def _start(self, client: str) -> None:
        line = self._lines[client]
        while line and self._running[client] < self._share:
            self._running[client] += 1
            self._pool.submit(self._run, client, line.popleft())
        if not line:
            del self._lines[client]
            self._empty.notify_all()

    def _run(self, client: str, task: Task) -> None:
        try:
            task()
        finally:
            with self._lock:
                self._running[client] -= 1
                if client in self._lines:
                    self._start(client)
                if not self._running[client]:
                    del self._running[client]
