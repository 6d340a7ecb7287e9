"""HTTP/1.1 on a connection: uvicorn's protocol, with bounds on what comes before a request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import msgspec
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from headrace.server.errors import INVALID, Shape, told
from headrace.server.gate import CONNECTION

#: Of a request's line and headers.
MOST_HEAD = 64 << 10


@dataclass(slots=True)
class Connections:
    """The connections that are open, the oldest first.

    When there are too many, the one that has waited longest without a request makes room.
    """

    most: int
    head_seconds: float
    open: dict[BoundedProtocol, None] = field(default_factory=dict["BoundedProtocol", None])

    def enter(self, new: BoundedProtocol) -> None:
        self.open[new] = None
        if len(self.open) > self.most:
            next((each for each in self.open if each.resting), new).abort()

    def leave(self, old: BoundedProtocol) -> None:
        self.open.pop(old, None)

    def protocol(self) -> type[BoundedProtocol]:
        """The class that uvicorn makes for each connection."""
        return type("Protocol", (BoundedProtocol,), {"peers": self})


class BoundedProtocol(HttpToolsProtocol):
    """A connection that must send each request's head in time, and within bounds."""

    peers: Connections
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    @property
    def resting(self) -> bool:
        """Whether no request is being answered."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None until the first request
        return cycle is None or cycle.response_complete

    @property
    def blocked(self) -> bool:
        """Whether the client has not read what it was sent, so that the next `send` waits."""
        return self.flow.write_paused

    def abort(self) -> None:
        """End the connection now, whatever is still to be sent."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        self.peers.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.peers.leave(self)
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._expect_head()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD and not self.transport.is_closing():
            self._refuse(431, "the request's head is too long")

    def on_headers_complete(self) -> None:
        self._cancel_deadline()
        self._in_head, self._head_bytes = False, 0
        extensions = {CONNECTION: self}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is no HTTP request")

    def _expect_head(self) -> None:
        if self._deadline is None:
            seconds = self.peers.head_seconds
            self._deadline = self.loop.call_later(seconds, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, message: str) -> None:
        body = msgspec.json.encode(told(message, Shape(status, INVALID)))
        head = (
            b"content-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % len(body)
        )
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
