"""Answers as they come from the engine: one, or several side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from headrace.engine.job import Ended, Job
from headrace.errors import DeadlineError, UnavailableError
from headrace.server.link.client import EngineClient
from headrace.server.streaming.answer import Answer, Fresh


async def follow(engine: EngineClient, job: Job, answer: Answer) -> AsyncGenerator[Fresh, None]:
    """One answer; closing it cancels the job.

    Raises:
        DeadlineError, UnavailableError: it ended before it was complete.
    """
    async with aclosing(engine.generate(job)) as events:
        async for event in events:
            if isinstance(event, Ended):
                if not answer.stopped:
                    _require_complete(event)
                yield answer.end(event)
            elif not answer.stopped:
                yield answer.take(event)
                if answer.stopped:  # what it took is told when it has ended
                    engine.cancel(job.id)


async def follow_all(
    engine: EngineClient, jobs: Sequence[Job], answers: Sequence[Answer]
) -> AsyncGenerator[tuple[int, Fresh], None]:
    """All answers to one request, each with its number, as they come."""
    if len(jobs) == 1:
        async with aclosing(follow(engine, jobs[0], answers[0])) as only:
            async for fresh in only:
                yield 0, fresh
        return
    async with aclosing(_side_by_side(engine, jobs, answers)) as several:
        async for numbered in several:
            yield numbered


async def _side_by_side(
    engine: EngineClient, jobs: Sequence[Job], answers: Sequence[Answer]
) -> AsyncGenerator[tuple[int, Fresh], None]:
    """A prompt's later jobs wait for the first one's first token: they find its keys and values."""
    queue: asyncio.Queue[tuple[int, Fresh | None]] = asyncio.Queue()
    read = [asyncio.Event() for _ in jobs]

    async def pump(number: int) -> None:
        leader = next(at for at, job in enumerate(jobs) if job.tokens == jobs[number].tokens)
        if leader != number:
            await read[leader].wait()
        try:
            async with aclosing(follow(engine, jobs[number], answers[number])) as answer:
                async for fresh in answer:
                    read[number].set()
                    queue.put_nowait((number, fresh))
        finally:
            read[number].set()
            queue.put_nowait((number, None))

    pumps = [asyncio.ensure_future(pump(number)) for number in range(len(jobs))]
    try:
        left = len(pumps)
        while left:
            number, fresh = await queue.get()
            if fresh is not None:
                yield number, fresh
            else:
                left -= 1
                await pumps[number]
    finally:
        for each in pumps:
            each.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _require_complete(event: Ended) -> None:
    if event.reason == "deadline":
        raise DeadlineError(
            "the answer took longer than a request may",
            hint="ask for fewer tokens, or give the server a longer deadline",
        )
    if event.reason == "cancelled":
        raise UnavailableError("the server is shutting down")
