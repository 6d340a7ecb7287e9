"""What a request gets that cannot be answered: OpenAI's shape."""

from __future__ import annotations

from headrace.server.protocol.base import Shown


class ErrorDetail(Shown):
    """What is wrong, of what kind, and in which field."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorShown(Shown):
    error: ErrorDetail
