"""What every request goes through: an id, a line in the log, the checks, and errors as answers."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.errors import UnavailableError
from headrace.server import logs
from headrace.server.auth import Auth, is_public
from headrace.server.config import Settings
from headrace.server.errors import reply_to
from headrace.server.lifecycle import Lifecycle
from headrace.server.limits import Bodies, ClientGoneError, Whole
from headrace.server.notes import CURRENT, Note

#: Asked for again and again by machines: only failures are worth a line.
QUIET = frozenset({"/health", "/ready", "/metrics"})
CLIENT_GONE = 499  # as nginx writes it


#: Where the connection is in a scope's extensions.
CONNECTION = "headrace.connection"


class Connection(Protocol):
    """What an answer asks of its connection."""

    @property
    def blocked(self) -> bool: ...

    def abort(self) -> None: ...


class Gate:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, settings: Settings, lifecycle: Lifecycle) -> None:
        self._app = Whole(app, Bodies(settings))
        self._lifespan = app
        self._settings, self._lifecycle = settings, lifecycle
        self._auth = Auth(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        headers = Headers(scope=scope)
        note = Note.of(headers.get("x-request-id"))
        CURRENT.set(note)
        answer = _Answer(send, note.id, self._settings.receive_timeout, scope)
        status: int | None = None
        try:
            self._auth.check(scope["path"], headers)
            await self._admitted(scope, receive, answer.send)
        except (ClientGoneError, asyncio.CancelledError):
            status = CLIENT_GONE
            answer.abort()
        except Exception as error:
            await self._failed(error, answer, scope, receive)
        finally:
            self._log(scope, note, status or answer.status)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in QUIET:
            await self._app(scope, receive, send)
            return
        with self._lifecycle.request():
            if not is_public(scope["path"]) and self._lifecycle.under_way > self._settings.requests:
                raise UnavailableError("too many requests are under way", retry_after=1.0)
            await self._app(scope, receive, send)

    async def _failed(
        self, error: Exception, answer: _Answer, scope: Scope, receive: Receive
    ) -> None:
        reply = reply_to(error)
        if reply.status == 500:
            logs.LOG.error("failure", exc_info=error, extra={"fields": {"id": answer.id}})
        if answer.status is None:
            response = reply.response()
            response.headers["connection"] = "close"  # a body may be left unread
            await response(scope, receive, answer.send)
        elif not answer.complete:
            answer.abort()

    def _log(self, scope: Scope, note: Note, status: int | None) -> None:
        if scope["path"] in QUIET and status in (200, 503):
            return
        client = scope.get("client")
        logs.event(
            "request",
            logging.INFO if (status or 500) < 500 else logging.ERROR,
            id=note.id,
            client=client[0] if client else None,
            method=scope["method"],
            path=scope["path"],
            status=status,
            seconds=note.seconds,
            model=note.model,
            prompt_tokens=note.prompt_tokens or None,
            cached_tokens=note.cached_tokens or None,
            tokens=note.generated_tokens or None,
            queue_seconds=note.queue_seconds or None,
            first_seconds=note.first_seconds,
            ended=",".join(note.reasons) or None,
        )


class _Answer:
    """A response on its way: it carries the request's id, and its reader must not stand still.

    Attributes:
        status: once it has begun. complete: all of it was sent.
    """

    def __init__(self, send: Send, id: str, seconds: float, scope: Scope) -> None:
        self._send, self._seconds = send, seconds
        self._connection: Connection | None = scope.get("extensions", {}).get(CONNECTION)
        self.id = id
        self.status: int | None = None
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self.id
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        if self._connection is None or not self._connection.blocked:
            await self._send(message)
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError as error:
            raise ClientGoneError from error

    def abort(self) -> None:
        """End the connection: the rest of the answer will not come."""
        if self._connection is not None:
            self._connection.abort()
