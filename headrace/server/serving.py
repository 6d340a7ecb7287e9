"""The life of a server: engines and HTTP from start to end, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Generator

import uvicorn
import uvloop
from fastapi import FastAPI

from headrace.engine.job import ServiceSettings
from headrace.errors import (
    ConfigurationError,
    EngineDiedError,
    HeadraceError,
    MachineError,
    UnavailableError,
)
from headrace.server import logs
from headrace.server.addresses import listen, url
from headrace.server.app import create_app, guarded
from headrace.server.auth import require_safe
from headrace.server.chat.conversation import warm
from headrace.server.config import Settings
from headrace.server.heap import tend_heap, trim_heap
from headrace.server.http import Connections
from headrace.server.lifecycle import Lifecycle
from headrace.server.link.client import EngineClient
from headrace.server.link.messages import Open, Step
from headrace.server.link.models import Models
from headrace.server.metrics import Metrics
from headrace.server.notify import notify

#: An answer that is cut off has so long to say so.
LAST_WORDS_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 120
OTHER_FILES = 256


def serve(settings: Settings) -> None:
    """Serve until a signal says to stop.

    Raises:
        ConfigurationError: the settings contradict each other or the machine.
        HeadraceError: a model cannot be loaded, or its engine has ended.
    """
    require_safe(settings)
    settings.named_models()
    tend_heap()
    _allow_files(settings.connections + OTHER_FILES)
    with (
        listen(settings.host, settings.port) as listener,
        logs.logging_to_stderr(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        failure = runner.run(_serve(settings, listener))
    if failure is not None:
        raise failure


async def _serve(settings: Settings, listener: socket.socket) -> HeadraceError | None:
    """Serve until something says stop; what has failed, if that was it."""
    lifecycle, metrics = Lifecycle(), Metrics()
    models = Models(_clients(settings, metrics))
    server = _http(create_app(models, settings, lifecycle, metrics), settings)
    _obey_signals(lifecycle, models)
    running = [asyncio.create_task(_run(each, lifecycle, models, url(listener))) for each in models]
    serving = asyncio.create_task(server.serve([listener]))
    serving.add_done_callback(lambda _: lifecycle.stop())
    await lifecycle.stopping()
    await _drain(lifecycle, models, settings.drain)
    server.should_exit = True
    await serving
    for task in running:
        task.cancel()
    await asyncio.gather(*[client.close(0) for client in models])
    logs.event("stopped")
    return lifecycle.failure


def _clients(settings: Settings, metrics: Metrics) -> list[EngineClient]:
    named = settings.named_models()
    service = ServiceSettings(queue=settings.queue, slots=settings.slots)
    return [
        EngineClient(
            each.name,
            Open(
                source=each.source,
                place=place,
                engines=len(named),
                threads=settings.threads,
                weights=settings.weights,
                context=settings.context,
                kv=settings.kv,
                kv_tokens=settings.kv_tokens,
                service=service,
            ),
            metrics.watch,
            _tell_step,
        )
        for place, each in enumerate(named)
    ]


def _tell_step(name: str, step: Step) -> None:
    logs.event("loading", model=name, step=step.label, bytes=step.bytes)


async def _run(client: EngineClient, lifecycle: Lifecycle, models: Models, address: str) -> None:
    """Load a model; when all are there, say so; notice when its engine ends."""
    try:
        await client.open()
        await asyncio.to_thread(warm, client.tokenizer)
    except HeadraceError as error:
        lifecycle.fail(error)
        return
    except Exception as error:
        logs.LOG.exception("failure")
        lifecycle.fail(MachineError(f"the model '{client.name}' could not be loaded: {error!r}"))
        return
    trim_heap()
    opened = client.opened
    logs.event("loaded", model=client.name, threads=opened.threads, context=opened.context)
    if models.ready:
        lifecycle.loaded()
        notify("READY=1")
        logs.event("ready", url=address, models=",".join(models.names))
    how = await asyncio.shield(client.ended)
    if how is not None:
        lifecycle.fail(EngineDiedError(f"the engine of model '{client.name}' {how}"))


async def _drain(lifecycle: Lifecycle, models: Models, seconds: float) -> None:
    """Let requests end, then end them; after a failure none has time left."""
    logs.event("stopping", under_way=lifecycle.under_way)
    notify("STOPPING=1")
    if lifecycle.failure is None and await lifecycle.idle(seconds):
        return
    for client in models:
        client.abandon(lifecycle.failure or UnavailableError("the server is being shut down"))
    await lifecycle.idle(LAST_WORDS_SECONDS)


def _obey_signals(lifecycle: Lifecycle, models: Models) -> None:
    """The first signal lets requests end; the second ends everything at once."""

    def obey(number: signal.Signals) -> None:
        if lifecycle.phase != "draining":
            lifecycle.stop()
            return
        for client in models:
            client.kill()
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, obey, number)


class _Http(uvicorn.Server):
    """uvicorn's server, which leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _http(app: FastAPI, settings: Settings) -> _Http:
    connections = Connections(settings.connections, settings.receive_timeout)
    return _Http(
        uvicorn.Config(
            guarded(app),
            http=connections.protocol(),
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(LAST_WORDS_SECONDS),
        )
    )


def _allow_files(wanted: int) -> None:
    """Let this process have so many files open: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ConfigurationError(
            f"{wanted} files would have to be open, and the system allows {hard}",
            where="connections",
            hint="allow fewer --connections, or raise the limit (ulimit -Hn, LimitNOFILE=)",
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
