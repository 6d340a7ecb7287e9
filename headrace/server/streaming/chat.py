"""Answers to a conversation, as chat completions and their chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from headrace.engine.job import TokenLogprobs
from headrace.server.protocol.usage import UsageTold
from headrace.server.streaming.answer import Fresh
from headrace.server.streaming.chunks import DONE, ChunkWriter
from headrace.server.streaming.logprobs import chat_logprobs
from headrace.server.streaming.turn import Collected, Turn, add_call
from headrace.server.tools.split import CallDelta
from headrace.server.usage import timings_of

TEXT_OPEN, TEXT_CLOSE = b'"delta":{"content":', b"}"
REASONING_OPEN = b'"delta":{"reasoning_content":'


async def whole(turn: Turn, *, logprobs: bool) -> bytes:
    """The answer as one JSON."""
    choices = [
        {
            "index": index,
            "message": _message(each),
            "logprobs": _logprobs(turn, each.logprobs) if logprobs else None,
            "finish_reason": each.finish_reason,
        }
        for index, each in enumerate(await turn.collect())
    ]
    head = turn.head("chat.completion")
    return msgspec.json.encode(
        {**head, "choices": choices, "usage": turn.usage, "timings": turn.timings}
    )


async def events(turn: Turn, *, logprobs: bool, usage: UsageTold) -> AsyncGenerator[bytes, None]:
    """The answer as chunks; the last of each choice has its timings."""
    writer = ChunkWriter(turn.head("chat.completion.chunk"), usage, lambda: turn.usage)
    begun: set[int] = set()
    async with aclosing(turn.follow()) as following:
        async for index, fresh in following:
            chunks: list[bytes] = []
            if index not in begun:
                begun.add(index)
                delta = {"role": "assistant", "content": ""}
                chunks.append(writer.choice(_choice(index, delta)))
            chunks += _chunks(turn, writer, index, fresh, logprobs=logprobs)
            if chunks:
                yield b"".join(chunks)
    last = writer.totals(usage=turn.usage, timings=turn.timings) if usage != "never" else b""
    yield last + DONE


def _chunks(
    turn: Turn, writer: ChunkWriter, index: int, fresh: Fresh, *, logprobs: bool
) -> list[bytes]:
    chunks: list[bytes] = []
    if logprobs and fresh.logprobs:
        told = _logprobs(turn, fresh.logprobs)
        chunks.append(writer.choice(_choice(index, _delta(fresh), told)))
    elif fresh.calls or (fresh.content and fresh.reasoning):
        chunks.append(writer.choice(_choice(index, _delta(fresh))))
    elif fresh.content:
        chunks.append(writer.text(index, TEXT_OPEN, fresh.content, TEXT_CLOSE))
    elif fresh.reasoning:
        chunks.append(writer.text(index, REASONING_OPEN, fresh.reasoning, TEXT_CLOSE))
    if fresh.finish_reason is not None:
        choice = _choice(index, {}, finish_reason=fresh.finish_reason)
        chunks.append(writer.choice(choice, timings=timings_of([turn.answers[index]])))
    return chunks


def _choice(
    index: int,
    delta: dict[str, Any],
    logprobs: dict[str, Any] | None = None,
    finish_reason: str | None = None,
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _delta(fresh: Fresh) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    if fresh.content or not (fresh.reasoning or fresh.calls):
        delta["content"] = fresh.content
    if fresh.reasoning:
        delta["reasoning_content"] = fresh.reasoning
    if fresh.calls:
        merged: list[CallDelta] = []
        for call in fresh.calls:
            add_call(merged, call)
        delta["tool_calls"] = [{"index": each.index, **_call(each)} for each in merged]
    return delta


def _call(call: CallDelta) -> dict[str, Any]:
    """A call, or a piece of one: what names it comes with its first piece."""
    if call.name is None:
        return {"function": {"arguments": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _message(answer: Collected) -> dict[str, Any]:
    content = None if answer.calls and not answer.content else answer.content
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [_call(each) for each in answer.calls]
    return message


def _logprobs(turn: Turn, entries: Sequence[TokenLogprobs]) -> dict[str, Any]:
    return {"content": chat_logprobs(turn.engine.tokenizer, entries), "refusal": None}
