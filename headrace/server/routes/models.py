"""`/v1/models`."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request

from headrace.server.link.client import EngineClient
from headrace.server.protocol.models import ModelList, ModelShown
from headrace.server.routes.serving import ERRORS, all_engines, engine_of

STARTED = int(time.time())
router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models", response_model=ModelList, responses=ERRORS)
async def models(request: Request) -> dict[str, Any]:
    """The models that are served."""
    return {"object": "list", "data": [_shown(each) for each in all_engines(request)]}


@router.get("/v1/models/{name:path}", response_model=ModelShown, responses=ERRORS)
async def model(name: str, request: Request) -> dict[str, Any]:
    """One model."""
    return _shown(engine_of(request, name))


def _shown(engine: EngineClient) -> dict[str, Any]:
    return {
        "id": engine.name,
        "object": "model",
        "created": STARTED,
        "owned_by": "headrace",
        "max_model_len": engine.context,
        "roofline_tokens_per_second": round(1 / engine.opened.read_seconds, 2),
    }
