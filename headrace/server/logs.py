"""The log: one line an event on stderr, `key=value`, and nobody waits for it to be written."""

from __future__ import annotations

import json
import logging
import queue
import re
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener

LOG = logging.getLogger("headrace.server")
WAITING = 10_000
PLAIN = re.compile(r"[\w.:/@+-]+", re.ASCII)


@contextmanager
def logging_to_stderr() -> Generator[None]:
    """Write the server's log, and what uvicorn says of failures, until the block ends."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    lines: queue.Queue[logging.LogRecord] = queue.Queue(WAITING)
    listener = QueueListener(lines, handler)
    sender = _Sender(lines)
    loggers = {LOG: logging.INFO, logging.getLogger("uvicorn.error"): logging.ERROR}
    for logger, level in loggers.items():
        logger.setLevel(level)
        logger.addHandler(sender)
        logger.propagate = False
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        for logger in loggers:
            logger.removeHandler(sender)


def event(name: str, level: int = logging.INFO, **fields: object) -> None:
    """Write one line; fields that are None are left out."""
    LOG.log(level, name, extra={"fields": fields})


class _Sender(QueueHandler):
    """Passes records to the thread that writes; drops them while nobody reads stderr."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return


class LineFormatter(logging.Formatter):
    """`time=… level=… event=… key=value …`; what is no plain word is written as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        milliseconds = int(record.msecs)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = {
            "time": f"{at}.{milliseconds:03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line = " ".join(
            f"{key}={_value(value)}"
            for key, value in (head | dict(fields)).items()
            if value is not None
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text)
