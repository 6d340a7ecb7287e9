"""What has come for one job and was not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from headrace.engine.job import Ended, Event, Tokens
from headrace.errors import HeadraceError


class Watch(Protocol):
    """Sees what comes for a job, when it comes."""

    def tokens(self, count: int) -> None: ...

    def ended(self, ended: Ended) -> None: ...

    def left(self) -> None:
        """Its reader has gone, or it failed, before its end."""
        ...


class Inbox:
    """Events of one job: put in as they come, taken as the reader has time.

    A reader that is late gets all tokens that have come meanwhile at once.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._events: deque[Event] = deque()
        self._error: HeadraceError | None = None
        self._waiting: asyncio.Future[None] | None = None

    def put(self, event: Event) -> None:
        match event:
            case Tokens():
                self.watch.tokens(len(event.tokens))
            case Ended():
                self.watch.ended(event)
            case _:
                pass
        self._events.append(event)
        self._wake()

    def fail(self, error: HeadraceError) -> None:
        """Nothing more will come; what has come can still be taken."""
        self._error = error
        self._wake()

    async def take(self) -> Event:
        """The next event.

        Raises:
            HeadraceError: as `fail` was told.
        """
        while not self._events:
            if self._error is not None:
                raise self._error
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        first = self._events.popleft()
        if isinstance(first, Tokens) and (more := self._more_tokens()):
            return _joined([first, *more])
        return first

    def _more_tokens(self) -> list[Tokens]:
        more: list[Tokens] = []
        while self._events and isinstance(following := self._events[0], Tokens):
            more.append(following)
            self._events.popleft()
        return more

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _joined(parts: list[Tokens]) -> Tokens:
    tokens = [token for part in parts for token in part.tokens]
    logprobs = [each for part in parts for each in part.logprobs or ()]
    return Tokens(parts[0].id, tokens, None if parts[0].logprobs is None else logprobs)
