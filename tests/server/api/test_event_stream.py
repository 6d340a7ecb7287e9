"""Streams of events: pings, errors before and after the first event, clients that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from headrace.errors import QueueFullError
from headrace.server.streaming.event_stream import GRACE, PING, EventStream


async def sent(events: AsyncGenerator[bytes, None], ping: float = 10.0) -> list[bytes]:
    """The bodies of a response; an empty one ends it."""
    bodies: list[bytes] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            bodies.append(message["body"])

    async def receive() -> Any:
        await asyncio.Event().wait()

    await EventStream(events, lambda error: str(error).encode(), ping)({}, receive, send)
    return bodies


def test_silence_is_filled() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"a"
        await asyncio.sleep(0.25)
        yield b"b"

    bodies = asyncio.run(sent(events(), ping=0.1))
    assert bodies[0] == b"a"
    assert bodies[1:-2] == [PING] * 2
    assert bodies[-2:] == [b"b", b""]


def test_what_is_refused_is_an_error_with_a_status() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(0.01)
        raise QueueFullError("full")
        yield b"never"

    with pytest.raises(QueueFullError):
        asyncio.run(sent(events()))


def test_later_errors_are_events() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"a"
        raise QueueFullError("full")

    assert asyncio.run(sent(events())) == [b"a", b"full", b""]


def test_a_slow_first_event_does_not_keep_the_headers() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(GRACE + 0.3)
        raise QueueFullError("full")
        yield b"never"

    assert asyncio.run(sent(events(), ping=GRACE / 5))[-2:] == [b"full", b""]


def test_a_client_that_goes_away_closes_the_events() -> None:
    closed: list[bool] = []

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def leave() -> None:
        task = asyncio.ensure_future(sent(events()))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    assert closed == [True]
