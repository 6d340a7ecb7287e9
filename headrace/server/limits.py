"""How much one client may ask of the server: bytes of a body, seconds to send it, requests."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.errors import BodySizeError, BodyTimeoutError, UnavailableError
from headrace.server.config import Settings

#: Bodies that are being received may have so many times `max_body` bytes together.
BODIES = 16


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class Bodies:
    """Reads bodies, within bounds: bytes of each and of all, and seconds."""

    def __init__(self, settings: Settings) -> None:
        self._most, self._seconds = settings.max_body, settings.receive_timeout
        self._left = BODIES * settings.max_body

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body of a request.

        Raises:
            BodySizeError: it has, or would have, too many bytes.
            BodyTimeoutError: it does not come in time.
            UnavailableError: too many bodies are coming at once.
            ClientGoneError: the connection has ended.
        """
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._received(receive)
        except TimeoutError as error:
            raise BodyTimeoutError(
                f"the body was not there after {self._seconds:g} seconds", where="body"
            ) from error

    async def _received(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size, more = 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                part: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                parts.append(part)
                size += len(part)
                self._left -= len(part)
                self._require_room(size)
            return b"".join(parts)
        finally:
            self._left += size

    def _require_room(self, size: int) -> None:
        if size > self._most:
            raise self._too_large()
        if self._left < 0:
            raise UnavailableError("too many large requests come at once", retry_after=1.0)

    def _too_large(self) -> BodySizeError:
        return BodySizeError(
            f"the body has more than {self._most} bytes", where="body", hint="headrace --max-body"
        )


class Whole:
    """Gives an app the whole body at once, and ends it when its client goes away.

    So every route, streaming or not, is cancelled with its connection, and does nothing for it.
    """

    def __init__(self, app: ASGIApp, bodies: Bodies) -> None:
        self._app, self._bodies = app, bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._bodies.read(Headers(scope=scope), receive)
        exchange = _Exchange(body, send)
        work = asyncio.ensure_future(self._app(scope, exchange.receive, exchange.send))
        watch = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            exchange.gone.set()
            if not work.done() and not exchange.complete:
                work.cancel()
            await work
        except asyncio.CancelledError:
            if not watch.done() or exchange.complete:
                raise
            raise ClientGoneError from None
        finally:
            watch.cancel()
            work.cancel()


class _Exchange:
    """What the app sees of a connection."""

    def __init__(self, body: bytes, send: Send) -> None:
        self._body: bytes | None = body
        self._send = send
        self.gone = asyncio.Event()
        self.complete = False

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
