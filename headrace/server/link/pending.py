"""What an engine has been asked and has not answered yet."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Generator
from contextlib import contextmanager

from headrace.engine.job import Event, ServiceStats
from headrace.errors import HeadraceError
from headrace.server.link.inbox import Inbox, Watch


class Pending:
    """Jobs, embeddings and questions under way; what comes for others is passed over."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._inboxes: dict[str, Inbox] = {}
        self._embeddings: dict[str, asyncio.Future[Event]] = {}
        self._asked: dict[int, asyncio.Future[ServiceStats]] = {}

    @contextmanager
    def job(self, id: str, watch: Watch) -> Generator[Inbox]:
        """Where the events of a job come, until the block ends."""
        inbox = self._inboxes[id] = Inbox(watch)
        try:
            yield inbox
        finally:
            del self._inboxes[id]

    @contextmanager
    def embedding(self) -> Generator[tuple[str, asyncio.Future[Event]]]:
        """A new embedding's id, and its event, until the block ends."""
        id = f"embedding-{next(self._numbers)}"
        reply = self._embeddings[id] = asyncio.get_running_loop().create_future()
        try:
            yield id, reply
        finally:
            del self._embeddings[id]

    @contextmanager
    def question(self) -> Generator[tuple[int, asyncio.Future[ServiceStats]]]:
        """A new question's number, and its answer, until the block ends."""
        number = next(self._numbers)
        reply = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            yield number, reply
        finally:
            del self._asked[number]

    def put(self, event: Event) -> None:
        """An event has come."""
        if (inbox := self._inboxes.get(event.id)) is not None:
            inbox.put(event)
        elif (reply := self._embeddings.get(event.id)) is not None and not reply.done():
            reply.set_result(event)

    def answer(self, number: int, stats: ServiceStats) -> None:
        """The answer to a question has come."""
        if (reply := self._asked.get(number)) is not None and not reply.done():
            reply.set_result(stats)

    def abandon(self, error: HeadraceError) -> None:
        """Let all fail."""
        for inbox in self._inboxes.values():
            inbox.fail(error)
        for reply in (*self._asked.values(), *self._embeddings.values()):
            if not reply.done():
                reply.set_exception(error)
