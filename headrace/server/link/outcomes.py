"""What comes from an engine: parts of an answer, or errors."""

from __future__ import annotations

from headrace import errors
from headrace.engine.job import Embedded, Ended, Event, Refused, Tokens
from headrace.errors import (
    ContextLengthError,
    HeadraceError,
    MachineError,
    QueueFullError,
    RequestError,
    UnavailableError,
)
from headrace.server.link.messages import Failed

RETRY_SECONDS = 5.0


def failure_of(report: Failed) -> HeadraceError:
    """Why a model was not loaded."""
    kind: type[HeadraceError] = getattr(errors, report.kind)
    return kind(report.what, where=report.where, hint=report.hint)


def usable(event: Event, model: str) -> Tokens | Ended:
    """What readers of an answer see; all else is an error."""
    match event:
        case Tokens():
            return event
        case Ended(reason="invalid"):
            raise RequestError(event.message or "the request cannot be answered")
        case Ended(reason="error"):
            raise MachineError(event.message or "the engine failed", where=f"model '{model}'")
        case Ended():
            return event
        case Refused(kind="queue_full"):
            wait = event.retry_after_seconds or RETRY_SECONDS
            raise QueueFullError(event.message, where="model", retry_after=wait)
        case Refused(kind="context"):
            raise ContextLengthError(event.message, where="messages")
        case Refused(kind="closing"):
            raise UnavailableError(event.message, where="model", retry_after=RETRY_SECONDS)
        case Embedded():
            raise MachineError("an answer is no embedding", where=f"model '{model}'")
        case Refused():
            raise RequestError(event.message)
