"""The app: routes behind the gate."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from headrace.server import errors, health, page
from headrace.server.config import Settings
from headrace.server.gate import Gate
from headrace.server.lifecycle import Lifecycle
from headrace.server.link.models import Models
from headrace.server.metrics import Metrics
from headrace.server.routes import ROUTERS


def create_app(
    models: Models,
    settings: Settings,
    lifecycle: Lifecycle | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """The app that serves models.

    `app.state` has `models`, `settings`, `lifecycle` and `metrics`. There are no pages of
    documentation: they would load scripts from elsewhere. /openapi.json describes the API.
    """
    app = FastAPI(title="headrace", version=version("headrace"), docs_url=None, redoc_url=None)
    app.state.models, app.state.settings = models, settings
    app.state.lifecycle = lifecycle or Lifecycle()
    app.state.metrics = metrics or Metrics()
    errors.install(app)
    for router in (health.router, *ROUTERS, page.router):
        app.include_router(router)
    return app


def guarded(app: FastAPI) -> ASGIApp:
    """An app behind its gate: checks, bounds, log; what a server serves."""
    return Gate(app, app.state.settings, app.state.lifecycle)
