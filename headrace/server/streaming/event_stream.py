"""Server-sent events as a response.

The work is done inside of the response, so that a client that goes away takes it along: the app is
cancelled with its connection (`limits.Whole`), the generator is closed, and with it its jobs in the
engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING = b": ping\n\n"
#: Seconds in which a refusal can still become a status; engines refuse at once.
GRACE = 1.0


class EventStream(Response):
    """Server-sent events, with a comment every `ping` seconds while there is none.

    The first event is waited for before the headers go out, for `GRACE` seconds at most: what is
    refused is so an error with a status.

    Args:
        events: events as they are written, blank line included; none may be empty.
        failed: the event for an error in mid-stream.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        failed: Callable[[Exception], bytes],
        ping: float,
    ) -> None:
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        super().__init__(headers={**headers, "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._failed = failed
        self._ping = ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = asyncio.ensure_future(anext(self._events))
        try:
            await asyncio.wait({first}, timeout=GRACE)
            if first.done():
                first.result()
            await self._stream(first, send)
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await self._events.aclose()

    async def _stream(self, first: Awaitable[bytes], send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        idle = _Idle()
        pings = asyncio.ensure_future(_pings(send, self._ping, idle))
        try:
            await self._events_after(first, send, idle)
        finally:
            pings.cancel()
            await asyncio.gather(pings, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events_after(self, first: Awaitable[bytes], send: Send, idle: _Idle) -> None:
        coming = first
        while True:
            try:
                event = await coming
            except StopAsyncIteration:
                return
            except Exception as error:
                await _body(send, self._failed(error))
                return
            idle.since = time.monotonic()
            await _body(send, event)
            coming = anext(self._events)


class _Idle:
    """When something was sent last."""

    def __init__(self) -> None:
        self.since = time.monotonic()


async def _body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _pings(send: Send, seconds: float, idle: _Idle) -> None:
    while True:
        left = idle.since + seconds - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        else:
            idle.since = time.monotonic()
            await _body(send, PING)
