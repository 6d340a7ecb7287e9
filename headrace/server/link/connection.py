"""The HTTP process's end of the sockets to one engine process."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

import msgspec

from headrace.errors import MachineError
from headrace.server.link.frames import FrameReader, frame
from headrace.server.link.messages import Command, Report

LOG = logging.getLogger("headrace.server")


class Connection(asyncio.Protocol):
    """Commands go out, reports come in.

    Args:
        receive: is given each report. lost: is called once, when the other end is gone.
    """

    def __init__(self, receive: Callable[[Report], None], lost: Callable[[], None]) -> None:
        self._receive, self._lost = receive, lost
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Report)
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    @staticmethod
    async def over(
        link: socket.socket, receive: Callable[[Report], None], lost: Callable[[], None]
    ) -> Connection:
        """A connection over a connected socket, which it owns from now on."""
        loop = asyncio.get_running_loop()
        link.setblocking(False)
        connection = Connection(receive, lost)
        await loop.create_connection(lambda: connection, sock=link)
        return connection

    def send(self, command: Command) -> None:
        """Send a command; to an end that is gone, nothing."""
        if self._transport is not None:
            self._transport.write(frame(self._encoder.encode(command)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._receive(self._decoder.decode(message))
        except (msgspec.DecodeError, MachineError):
            LOG.exception("an engine process sends what is no report")
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()
