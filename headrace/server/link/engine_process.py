"""The engine process: one model, its workers, and the loop that feeds them."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType

import msgspec

from headrace.errors import HeadraceError
from headrace.server.heap import tend_heap, trim_heap
from headrace.server.link.frames import FrameReader
from headrace.server.link.messages import (
    AskStats,
    Cancel,
    Close,
    Command,
    Embed,
    Events,
    Failed,
    Open,
    Stats,
    Submit,
)
from headrace.server.link.opening import Engine, open_engine
from headrace.server.link.outbox import Outbox
from headrace.server.link.parent import end_with_parent

PIECE = 1 << 20
FLUSH_SECONDS = 2.0
FAILED = 70  # EX_SOFTWARE of <sysexits.h>


def main(descriptor: int, parent: int) -> None:
    """Serve the commands that come through a socket until it ends.

    Args:
        parent: the process that started this one; both end together.
    """
    end_with_parent(parent)
    tend_heap()
    faulthandler.enable(all_threads=False)
    threading.excepthook = _end_with_thread
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it too, and says what to do
    signal.signal(signal.SIGTERM, _leave)
    with socket.socket(fileno=descriptor) as link:
        outbox, commands = Outbox(link), _commands(link)
        engine = _open(next(commands, None), outbox)
        if engine is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _obey(engine, commands, outbox)
        outbox.flush(FLUSH_SECONDS)
    sys.stderr.flush()
    os._exit(0)  # native threads may be anywhere, and nothing is left to be written


def _end_with_thread(failure: threading.ExceptHookArgs) -> None:
    """A thread that failed would be missed for ever: end, and let the parent say so."""
    if failure.exc_value is not None:
        traceback.print_exception(failure.exc_value)
    sys.stderr.flush()
    os._exit(FAILED)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Give loading up as an exception, so that what it has half written is removed."""
    sys.exit(0)


def _commands(link: socket.socket) -> Iterator[Command]:
    decoder, reader = msgspec.msgpack.Decoder(Command), FrameReader()
    while piece := _received(link):
        for message in reader.feed(piece):
            yield decoder.decode(message)


def _received(link: socket.socket) -> bytes:
    try:
        return link.recv(PIECE)
    except ConnectionError:
        return b""


def _open(command: Command | None, outbox: Outbox) -> Engine | None:
    if not isinstance(command, Open):
        return None
    try:
        return open_engine(command, outbox)
    except HeadraceError as error:
        outbox.send(Failed(type(error).__name__, error.what, error.where, error.hint))
        return None


def _obey(engine: Engine, commands: Iterator[Command], outbox: Outbox) -> None:
    trim_heap()
    service = engine.start(lambda events: outbox.send(Events(events)))
    outbox.send(engine.opened)
    drain = 0.0
    for command in commands:
        match command:
            case Submit(job):
                service.submit(job)
            case Cancel(id):
                service.cancel(id)
            case Embed(id, tokens):
                service.embed(id, tokens)
            case AskStats(id):
                outbox.send(Stats(id, service.stats()))
            case Close(seconds):
                drain = seconds
                break
            case Open():
                break
    service.close(drain)
