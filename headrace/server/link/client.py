"""One engine, as the HTTP process uses it."""

from __future__ import annotations

import asyncio
import signal
import time
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal

from headrace.engine.job import Embedded, Ended, Job, ServiceStats, Tokens
from headrace.errors import EngineDiedError, HeadraceError, UnavailableError
from headrace.server.link.connection import Connection
from headrace.server.link.inbox import Watch
from headrace.server.link.messages import (
    AskStats,
    Cancel,
    Close,
    Embed,
    Events,
    Failed,
    Open,
    Opened,
    Report,
    Stats,
    Step,
    Submit,
)
from headrace.server.link.outcomes import RETRY_SECONDS, failure_of, usable
from headrace.server.link.pending import Pending
from headrace.server.link.process import EngineProcess
from headrace.text import Tokenizer

#: Beyond what jobs under way are given, until the process is killed.
ENDING_SECONDS = 5.0

#: A process whose end of the link is closed is all but gone: the event loop waits so long for it.
GONE_SECONDS = 1.0

State = Literal["loading", "ready", "ended"]


class EngineClient:
    """An engine process, and the jobs that it has.

    Args:
        name: what requests call the model.
        watch: makes what sees the events of a job.
        told: is called with each step of loading.

    Attributes:
        state: `loading` until `open` has returned, `ended` from the process's end.
        opened: what the model is; valid once it is loaded.
        ended: done when the process has ended: how, or None where that was asked for.
    """

    def __init__(
        self,
        name: str,
        order: Open,
        watch: Callable[[EngineClient, Job], Watch],
        told: Callable[[str, Step], None],
    ) -> None:
        self.name = name
        self.state: State = "loading"
        self.ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._order, self._watch, self._told = order, watch, told
        self._opening: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
        self._pending = Pending()
        self._closing = False
        self._created = 0
        self._process: EngineProcess | None = None
        self._connection: Connection | None = None
        self._opened: Opened | None = None
        self._tokenizer: Tokenizer | None = None

    # what the model is

    @property
    def opened(self) -> Opened:
        """What the engine told of the model.

        Raises:
            UnavailableError: it is still being loaded.
        """
        if self._opened is None:
            raise self._loading()
        return self._opened

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer; raises as `opened`."""
        if self._tokenizer is None:
            raise self._loading()
        return self._tokenizer

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together; raises as `opened`."""
        return self.opened.context

    @property
    def vocabulary(self) -> int:
        """Logits a token; raises as `opened`."""
        return self.opened.vocabulary

    @property
    def created(self) -> int:
        """When the model was loaded: seconds since 1970; 0 until then."""
        return self._created

    # life

    async def open(self) -> None:
        """Start the process and load the model.

        Raises:
            HeadraceError: what the engine says; EngineDiedError: it ended meanwhile.
        """
        self._process = EngineProcess.start()
        self._connection = await Connection.over(self._process.link, self._receive, self._lost)
        self._connection.send(self._order)
        opened = await self._opening
        self._tokenizer = await asyncio.to_thread(Tokenizer.from_json, opened.tokenizer)
        self._opened, self._created = opened, int(time.time())
        self.state = "ready"

    async def close(self, seconds: float) -> None:
        """End the process; jobs under way have so many seconds yet, then it is killed."""
        if self._process is None or self.state == "ended":
            return
        self._closing = True
        if self.state == "loading":
            self._process.child.send_signal(signal.SIGTERM)
        elif self._connection is not None:
            self._connection.send(Close(seconds))
        try:
            await asyncio.wait_for(asyncio.shield(self.ended), seconds + ENDING_SECONDS)
        except TimeoutError:
            self._process.child.kill()
            self._lost()

    def kill(self) -> None:
        """End the process at once."""
        self._closing = True
        if self._process is not None:
            self._process.child.kill()

    # jobs

    async def generate(self, job: Job) -> AsyncGenerator[Tokens | Ended, None]:
        """Events of a job, the last of which is `Ended`; closing it cancels the job.

        Raises:
            QueueFullError, ContextLengthError, RequestError: the engine refuses the job.
            EngineDiedError: the engine has ended. UnavailableError: it is loading or ending.
            MachineError: the engine failed on this job.
        """
        self._require_ready()
        watch, ended = self._watch(self, job), False
        with self._pending.job(job.id, watch) as inbox:
            self._send(Submit(job))
            try:
                while not ended:
                    event = await inbox.take()
                    ended = not isinstance(event, Tokens)
                    yield usable(event, self.name)
            finally:
                if not ended:
                    watch.left()
                    self._send(Cancel(job.id))

    def cancel(self, id: str) -> None:
        """Let a job end now; what it has is still to come, then `Ended`."""
        self._send(Cancel(id))

    async def embed(self, tokens: Sequence[int]) -> list[float]:
        """The embedding of a text `[features]`, of length 1; raises as `generate`."""
        self._require_ready()
        with self._pending.embedding() as (id, reply):
            self._send(Embed(id, list(tokens)))
            try:
                event = await reply
            finally:
                if not reply.done() or reply.cancelled():
                    self._send(Cancel(id))
        if not isinstance(event, Embedded):
            usable(event, self.name)
            raise UnavailableError("the server is shutting down", where="model")
        return array("f", event.vector).tolist()

    async def stats(self) -> ServiceStats:
        """What the engine does and has done; raises as `generate`."""
        self._require_ready()
        with self._pending.question() as (number, reply):
            self._send(AskStats(number))
            return await reply

    def abandon(self, error: HeadraceError) -> None:
        """Let all jobs under way fail."""
        self._pending.abandon(error)

    def _require_ready(self) -> None:
        if self.state == "ended":
            raise self._died("has ended")
        self.opened  # noqa: B018  raises where there is none

    def _loading(self) -> UnavailableError:
        return UnavailableError(
            f"the model '{self.name}' is being loaded", where="model", retry_after=RETRY_SECONDS
        )

    def _died(self, how: str) -> EngineDiedError:
        return EngineDiedError(f"the engine of model '{self.name}' {how}", where="model")

    # the link

    def _send(self, command: Submit | Embed | Cancel | AskStats) -> None:
        if self._connection is not None:
            self._connection.send(command)

    def _receive(self, report: Report) -> None:
        match report:
            case Events(events):
                for event in events:
                    self._pending.put(event)
            case Stats(id, stats):
                self._pending.answer(id, stats)
            case Step():
                self._told(self.name, report)
            case Opened():
                self._opening.set_result(report)
            case Failed():
                self._closing = True
                self._opening.set_exception(failure_of(report))

    def _lost(self) -> None:
        if self._process is None or self.state == "ended":
            return
        how = self._process.end(GONE_SECONDS)
        self.state = "ended"
        error = self._died(how)
        if not self._opening.done():
            self._opening.set_exception(error)
        self.abandon(error)
        if not self.ended.done():
            self.ended.set_result(None if self._closing else how)
