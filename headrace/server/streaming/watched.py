"""Responses that end with their client: whole ones, and streams of events.

The work is done inside of the response, so that a client that goes away takes it along, streaming
or not: the generators are closed, which cancels their jobs in the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING = b": ping\n\n"
#: Seconds in which a refusal can still become a status; engines refuse at once.
GRACE = 1.0


class Watched(Response):
    """A response whose `work` is given up when the client goes away."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers)

    async def work(self, send: Send) -> None:
        """Do what is to be done, and send it."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self.work(send))
        watch = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            watch.cancel()
            work.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)

    async def start(self, send: Send) -> None:
        """Send status and headers."""
        message = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(message)


class Whole(Watched):
    """A response whose JSON is made when it is asked for."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, bytes]]) -> None:
        super().__init__({"content-type": "application/json"})
        self._make = make

    async def work(self, send: Send) -> None:
        body = await self._make()
        self.raw_headers.append((b"content-length", str(len(body)).encode()))
        await self.start(send)
        await send({"type": "http.response.body", "body": body})


class EventStream(Watched):
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
        super().__init__({**headers, "x-accel-buffering": "no"})
        self._events = events
        self._failed = failed
        self._ping = ping

    async def work(self, send: Send) -> None:
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
        await self.start(send)
        idle = _Idle()
        pings = asyncio.ensure_future(_pings(send, self._ping, idle))
        try:
            await _body(send, await first)
            async for event in self._events:
                idle.since = time.monotonic()
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except Exception as error:
            await _body(send, self._failed(error))
        finally:
            pings.cancel()
            await asyncio.gather(pings, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


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


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
