"""Texts that go on, as completions and their chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from headrace.server.protocol.usage import UsageTold
from headrace.server.streaming.chunks import DONE, ChunkWriter
from headrace.server.streaming.logprobs import CompletionLogprobs
from headrace.server.streaming.turn import Turn
from headrace.server.usage import timings_of

TEXT_OPEN, TEXT_CLOSE = b'"text":', b""


async def whole(turn: Turn, echoes: Sequence[str], *, logprobs: bool) -> bytes:
    """The answer as one JSON.

    Args:
        echoes: what each choice's text begins with.
    """
    choices: list[dict[str, Any]] = []
    for index, each in enumerate(await turn.collect()):
        lists = CompletionLogprobs(turn.engine.tokenizer, len(echoes[index]))
        told = lists.lists(each.logprobs) if logprobs else None
        choices.append(_choice(index, echoes[index] + each.content, told, each.finish_reason))
    head = turn.head("text_completion")
    return msgspec.json.encode(
        {**head, "choices": choices, "usage": turn.usage, "timings": turn.timings}
    )


async def events(
    turn: Turn, echoes: Sequence[str], *, logprobs: bool, usage: UsageTold
) -> AsyncGenerator[bytes, None]:
    """The answer as chunks; the last of each choice has its timings."""
    writer = ChunkWriter(turn.head("text_completion"), usage, lambda: turn.usage)
    lists = [CompletionLogprobs(turn.engine.tokenizer, len(each)) for each in echoes]
    begun: set[int] = set()
    async with aclosing(turn.follow()) as following:
        async for index, fresh in following:
            text = fresh.content
            if index not in begun:
                begun.add(index)
                text = echoes[index] + text
            chunk = b""
            if logprobs and fresh.logprobs:
                chunk = writer.choice(_choice(index, text, lists[index].lists(fresh.logprobs)))
            elif text:
                chunk = writer.text(index, TEXT_OPEN, text, TEXT_CLOSE)
            if fresh.finish_reason is not None:
                timings = timings_of([turn.answers[index]])
                ended = _choice(index, "", None, fresh.finish_reason)
                chunk += writer.choice(ended, timings=timings)
            if chunk:
                yield chunk
    last = writer.totals(usage=turn.usage, timings=turn.timings) if usage != "never" else b""
    yield last + DONE


def _choice(
    index: int,
    text: str,
    logprobs: dict[str, Any] | None,
    finish_reason: str | None = None,
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
