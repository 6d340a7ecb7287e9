"""Bounds that are seldom reached over a socket: readers that stand still, bodies together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from headrace.errors import UnavailableError
from headrace.server.config import Settings
from headrace.server.gate import CONNECTION, Gate
from headrace.server.lifecycle import Lifecycle
from headrace.server.limits import BODIES, Bodies

SETTINGS = Settings(receive_timeout=0.2, max_body=1024)


@dataclass
class Blocked:
    """A connection whose client does not read."""

    blocked: bool = True
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True


def scope_of(path: str, connection: Blocked) -> Scope:
    extensions = {CONNECTION: connection}
    headers = [(b"host", b"localhost")]
    return {"type": "http", "method": "GET", "path": path, "headers": headers} | {
        "extensions": extensions
    }


async def _nothing_more() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def whole_body() -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await _nothing_more()

    return receive


def test_a_reader_that_stands_still_is_dropped() -> None:
    """The app is cancelled, so that its job is, and the connection is aborted."""
    ended: list[bool] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        finally:
            ended.append(True)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await _nothing_more()

    connection = Blocked()
    gate = Gate(app, SETTINGS, Lifecycle())
    asyncio.run(gate(scope_of("/v1/x", connection), whole_body(), send))
    assert connection.aborted
    assert ended == [True]


def test_a_client_that_leaves_ends_the_app() -> None:
    messages: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"{}", "more_body": False},
    ]
    ended: list[bool] = []

    async def receive() -> Message:
        return messages.pop()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        assert (await receive())["body"] == b"{}"
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    lifecycle = Lifecycle()
    asyncio.run(Gate(app, SETTINGS, lifecycle)(scope_of("/v1/x", Blocked()), receive, send))
    assert ended == [True]
    assert lifecycle.under_way == 0


def test_bodies_are_bounded_together() -> None:
    """Many may come at once, each within its bound; not so many that memory runs out."""

    async def receive_all(count: int) -> list[object]:
        bodies, going = Bodies(SETTINGS), asyncio.Event()

        def receive() -> Receive:
            messages: list[Message] = [
                {"type": "http.request", "body": b"", "more_body": False},
                {"type": "http.request", "body": b"x" * 1024, "more_body": True},
            ]

            async def next_one() -> Message:
                if len(messages) == 1:
                    await going.wait()
                return messages.pop()

            return next_one

        reads = [asyncio.create_task(bodies.read(Headers(), receive())) for _ in range(count)]
        await asyncio.sleep(0.01)
        going.set()
        return await asyncio.gather(*reads, return_exceptions=True)

    assert set(map(len, asyncio.run(receive_all(BODIES)))) == {1024}  # type: ignore[arg-type]
    ends = asyncio.run(receive_all(BODIES + 1))
    assert sum(isinstance(end, UnavailableError) for end in ends) == 1


def test_a_server_that_stops_takes_no_more() -> None:
    lifecycle = Lifecycle()
    lifecycle.stop()
    with pytest.raises(UnavailableError, match="shut down"), lifecycle.request():
        raise AssertionError
