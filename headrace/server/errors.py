"""Errors as clients see them: OpenAI's shape, never a stack trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from headrace import errors
from headrace.errors import HeadraceError, UnavailableError
from headrace.server.notes import request_id

INVALID, FAILURE = "invalid_request_error", "server_error"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a class of errors is told: HTTP status, OpenAI's type and code."""

    status: int
    type: str
    code: str | None = None


#: The first class that fits counts.
SHAPES: tuple[tuple[type[HeadraceError], Shape], ...] = (
    (errors.AuthenticationError, Shape(401, INVALID, "invalid_api_key")),
    (errors.ForbiddenError, Shape(403, INVALID, "forbidden")),
    (errors.ModelNotFoundError, Shape(404, INVALID, "model_not_found")),
    (errors.BodyTimeoutError, Shape(408, INVALID, "request_timeout")),
    (errors.BodySizeError, Shape(413, INVALID, "request_too_large")),
    (errors.ContextLengthError, Shape(400, INVALID, "context_length_exceeded")),
    (errors.RequestError, Shape(400, INVALID)),
    (errors.TemplateError, Shape(400, INVALID, "chat_template")),
    (errors.QueueFullError, Shape(429, "rate_limit_error", "queue_full")),
    (errors.DeadlineError, Shape(504, FAILURE, "deadline")),
    (errors.EngineDiedError, Shape(503, FAILURE, "engine_died")),
    (errors.UnavailableError, Shape(503, FAILURE, "unavailable")),
    (HeadraceError, Shape(500, FAILURE)),
)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error, ready to be sent."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, dict(self.headers))


def reply_to(error: Exception) -> ErrorReply:
    """What a client is told of an error; of one that is not deliberate, only that there was one."""
    if isinstance(error, HeadraceError):
        shape = next(shape for kind, shape in SHAPES if isinstance(error, kind))
        body = told(_message(error), shape, error.where)
        return ErrorReply(shape.status, body, _headers(error))
    if isinstance(error, RequestValidationError):
        return ErrorReply(400, _validation_body(error))
    if isinstance(error, HTTPException):
        kind = INVALID if error.status_code < 500 else FAILURE
        body = told(str(error.detail), Shape(error.status_code, kind))
        return ErrorReply(error.status_code, body, error.headers or {})
    shape = Shape(500, FAILURE, "internal_error")
    return ErrorReply(500, told("the server failed on this request", shape))


def told(message: str, shape: Shape, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object, and the id under which the log has the request."""
    fields = {"message": message, "type": shape.type, "param": param, "code": shape.code}
    return {"error": {**fields, "request_id": request_id()}}


def install(app: FastAPI) -> None:
    """Let an app answer all errors so."""

    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return reply_to(error).response()

    for kind in (HeadraceError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _message(error: HeadraceError) -> str:
    return error.what if error.hint is None else f"{error.what} (try: {error.hint})"


def _headers(error: HeadraceError) -> dict[str, str]:
    if isinstance(error, errors.AuthenticationError):
        return {"www-authenticate": "Bearer"}
    if isinstance(error, UnavailableError) and error.retry_after is not None:
        return {"retry-after": str(max(1, round(error.retry_after)))}
    return {}


def _validation_body(error: RequestValidationError) -> dict[str, Any]:
    """The first thing that is wrong; the field as a path, without the word `body`."""
    first: Mapping[str, Any] = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    param = ".".join(place) or None
    message = first["msg"] if param is None else f"{param}: {first['msg']}"
    return told(message, Shape(400, INVALID), param)
