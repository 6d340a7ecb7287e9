"""One request under way: its jobs, its answers, and what all of its chunks say."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.engine.job import Job, TokenLogprobs
from headrace.server.link.client import EngineClient
from headrace.server.streaming.answer import Answer, Fresh, Reading
from headrace.server.streaming.follow import follow_all
from headrace.server.tools.split import CallDelta
from headrace.server.usage import timings_of, usage_of


@dataclass(slots=True)
class Collected:
    """All of one answer."""

    content: str = ""
    reasoning: str = ""
    calls: list[CallDelta] = field(default_factory=list[CallDelta])
    logprobs: list[TokenLogprobs] = field(default_factory=list[TokenLogprobs])
    finish_reason: str | None = None

    def add(self, fresh: Fresh) -> None:
        self.content += fresh.content
        self.reasoning += fresh.reasoning
        for call in fresh.calls:
            add_call(self.calls, call)
        self.logprobs += fresh.logprobs
        self.finish_reason = fresh.finish_reason


class Turn:
    """A request's answers.

    Args:
        count: answers to each prompt.
        reasons: whether answers may have reasoning.

    Attributes:
        name: the answer's id. created: seconds since 1970.
    """

    def __init__(
        self,
        engine: EngineClient,
        jobs: Sequence[Job],
        reading: Reading,
        *,
        count: int,
        prefix: str,
        reasons: bool = False,
    ) -> None:
        self.engine = engine
        self.name = prefix + secrets.token_hex(16)
        self.created = int(time.time())
        self.answers = [Answer(reading) for _ in jobs]
        self._jobs = jobs
        self._count = count
        self._reasons = reasons

    def follow(self) -> AsyncGenerator[tuple[int, Fresh], None]:
        """What comes, with the number of its answer; closing it cancels the jobs."""
        return follow_all(self.engine, self._jobs, self.answers)

    async def collect(self) -> list[Collected]:
        """All answers, when they are complete."""
        collected = [Collected() for _ in self.answers]
        async for number, fresh in self.follow():
            collected[number].add(fresh)
        return collected

    @property
    def usage(self) -> dict[str, Any]:
        prompts = [len(job.tokens) for job in self._jobs[:: self._count]]
        return usage_of(prompts, self.answers, reasons=self._reasons)

    @property
    def timings(self) -> dict[str, Any]:
        return timings_of(self.answers)

    def head(self, kind: str) -> dict[str, Any]:
        """The fields that the answer and all of its chunks begin with."""
        name = self.engine.name
        return {"id": self.name, "object": kind, "created": self.created, "model": name}


def add_call(calls: list[CallDelta], delta: CallDelta) -> None:
    """Put a piece of a call behind the pieces that have come; those of one call become one."""
    if calls and calls[-1].index == delta.index:
        last = calls[-1]
        arguments = last.arguments + delta.arguments
        calls[-1] = CallDelta(last.index, arguments, last.id, last.name)
    else:
        calls.append(delta)
