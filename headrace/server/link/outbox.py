"""Reports on their way to the HTTP process: whoever sends one never waits for it to be read."""

from __future__ import annotations

import socket
import threading
from collections import deque

import msgspec

from headrace.server.link.frames import frame
from headrace.server.link.messages import Report


class Outbox:
    """Sends reports from any thread.

    What the socket does not take at once is sent by a thread of its own, in order: the token loop
    must not stop while the other process does something else.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._encoder = msgspec.msgpack.Encoder()
        self._left: deque[memoryview] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._send_rest, name="headrace-outbox", daemon=True).start()

    def send(self, report: Report) -> None:
        """Send a report, or let it wait. Nobody is told if the other end is gone: its reader is."""
        with self._changed:
            message = memoryview(frame(self._encoder.encode(report)))
            sent = 0 if self._left else self._sent_now(message)
            if sent < len(message):
                self._left.append(message[sent:])
                self._changed.notify()

    def flush(self, seconds: float) -> None:
        """Wait until all is sent, so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._left, seconds)

    def _sent_now(self, message: memoryview) -> int:
        try:
            return self._link.send(message, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return len(message)

    def _send_rest(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._left))
                message = self._left[0]
            try:
                self._link.sendall(message)
            except OSError:
                return
            with self._changed:
                self._left.popleft()
                self._changed.notify_all()
