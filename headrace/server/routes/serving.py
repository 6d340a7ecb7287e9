"""What all routes need of the server they are part of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from headrace.errors import HeadraceError, RequestError
from headrace.server import logs
from headrace.server.config import Settings
from headrace.server.errors import reply_to
from headrace.server.link.client import EngineClient
from headrace.server.link.models import Models
from headrace.server.notes import request_id
from headrace.server.protocol.errors import ErrorShown
from headrace.server.streaming.chunks import event
from headrace.server.streaming.event_stream import EventStream

#: What may come instead of an answer, for the OpenAPI document.
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorShown, "description": "The request cannot be answered as it is"},
    "5XX": {"model": ErrorShown, "description": "The server cannot answer now"},
}

#: A stream of events instead of one JSON, if the request asks for it.
STREAMED: dict[str, Any] = {
    "description": "The answer; server-sent events if `stream` is true",
    "content": {
        "text/event-stream": {
            "schema": {
                "type": "object",
                "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
                "required": ["data"],
            }
        }
    },
}


def engine_of(request: Request, name: str) -> EngineClient:
    """The engine of a model, by name.

    Raises:
        ModelNotFoundError: none is served by that name.
    """
    return _models(request).get(name)


def engine_or_only(request: Request, name: str | None) -> EngineClient:
    """The engine of a model; without a name, of the only one.

    Raises:
        RequestError: there are several. ModelNotFoundError: none is served by that name.
    """
    if name is not None:
        return engine_of(request, name)
    engines = list(_models(request))
    if len(engines) != 1:
        names = ", ".join(each.name for each in engines)
        raise RequestError("several models are served", where="model", hint=f"name one: {names}")
    return engines[0]


def all_engines(request: Request) -> list[EngineClient]:
    """The engines of all models."""
    return list(_models(request))


async def log_prompts(
    request: Request, engine: EngineClient, prompts: Sequence[Sequence[int]]
) -> None:
    """Write prompts to the log, if the settings say so."""
    if settings_of(request).log_prompts:
        await asyncio.to_thread(_log_prompts, engine, prompts)


def _log_prompts(engine: EngineClient, prompts: Sequence[Sequence[int]]) -> None:
    for tokens in prompts:
        text = engine.tokenizer.decode(tokens, special=True)
        logs.event("prompt", id=request_id(), model=engine.name, text=text)


def settings_of(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def client_of(request: Request) -> str:
    """Whose request it is: between clients the engine is fair."""
    return request.client.host if request.client is not None else ""


def json_response(body: bytes) -> Response:
    """A whole answer."""
    return Response(body, media_type="application/json")


def event_stream(request: Request, events: AsyncGenerator[bytes, None]) -> EventStream:
    """A response of server-sent events; an error in mid-stream is one of them."""
    return EventStream(events, _failed, settings_of(request).ping)


def _failed(error: Exception) -> bytes:
    if not isinstance(error, HeadraceError):
        logs.LOG.error("failure", exc_info=error, extra={"fields": {"id": request_id()}})
    return event(reply_to(error).body)


def _models(request: Request) -> Models:
    return cast(Models, request.app.state.models)
