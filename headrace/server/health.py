"""What operators ask: is it alive, is it ready, what does it do."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from headrace.server.lifecycle import Lifecycle
from headrace.server.link.models import Models
from headrace.server.metrics import Metrics

router = APIRouter(tags=["operation"])


@router.get("/health", summary="Whether the server and its engines run")
async def health(request: Request) -> JSONResponse:
    models: Models = request.app.state.models
    ended = [client.name for client in models if client.state == "ended"]
    if ended:
        return JSONResponse({"status": "failed", "models": ended}, 503)
    return JSONResponse({"status": "ok"})


@router.get("/ready", summary="Whether all models are loaded and requests are taken")
async def ready(request: Request) -> JSONResponse:
    lifecycle: Lifecycle = request.app.state.lifecycle
    if lifecycle.phase == "serving":
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": lifecycle.phase}, 503, {"retry-after": "5"})


@router.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    own: Metrics = request.app.state.metrics
    models: Models = request.app.state.models
    return Response(await own.render(models), media_type=CONTENT_TYPE_LATEST)
