"""What is noted of a request while it runs: its id, and what the engines did for it."""

from __future__ import annotations

import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(slots=True)
class Note:
    """A request's note; figures are sums over its sequences.

    Attributes:
        id: as the client called it, or our own.
        began: `time.perf_counter` of its arrival.
        model: what it asked for.
        reasons: how its sequences ended.
    """

    id: str
    began: float = field(default_factory=time.perf_counter)
    model: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    queue_seconds: float = 0.0
    first_seconds: float | None = None
    reasons: list[str] = field(default_factory=list[str])

    @staticmethod
    def of(asked: str | None) -> Note:
        """A note under the id that a client asked for, if that is a plain word."""
        if asked is not None and ID.fullmatch(asked):
            return Note(asked)
        return Note(f"req-{secrets.token_hex(12)}")

    @property
    def seconds(self) -> float:
        """Since its arrival."""
        return time.perf_counter() - self.began


CURRENT: ContextVar[Note | None] = ContextVar("headrace_note", default=None)


def request_id() -> str | None:
    """The id of the request that the caller works for."""
    note = CURRENT.get()
    return None if note is None else note.id
