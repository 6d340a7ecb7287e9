"""From loading to draining: what the server takes, and what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from headrace.errors import HeadraceError, UnavailableError

Phase = Literal["loading", "serving", "draining"]
RETRY_SECONDS = 5.0


class Lifecycle:
    """The state of a server.

    Attributes:
        phase: `draining` from the moment that it is to stop.
        failure: why it stops, if nobody asked for that.
        under_way: requests that have come and were not answered yet.
    """

    def __init__(self) -> None:
        self.phase: Phase = "loading"
        self.failure: HeadraceError | None = None
        self.under_way = 0
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def loaded(self) -> None:
        """All models are there."""
        if self.phase == "loading":
            self.phase = "serving"

    def stop(self) -> None:
        """Take no requests any more."""
        self.phase = "draining"
        self._stopping.set()

    def fail(self, why: HeadraceError) -> None:
        """Stop, because something has failed; the first reason counts."""
        if self.phase != "draining":
            self.failure = why
        self.stop()

    async def stopping(self) -> None:
        """Wait until the server is to stop."""
        await self._stopping.wait()

    async def idle(self, seconds: float) -> bool:
        """Wait until no request is under way, so many seconds at most; whether that is so."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def request(self) -> Generator[None]:
        """Count a request as under way.

        Raises:
            UnavailableError: the server is to stop.
        """
        if self.phase == "draining":
            raise UnavailableError("the server is being shut down", retry_after=RETRY_SECONDS)
        self.under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()
