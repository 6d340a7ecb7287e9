"""Answers to `/v1/responses`, whole and as events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from headrace.engine.job import TokenLogprobs
from headrace.server.streaming.chunks import event
from headrace.server.streaming.items import OutputItems
from headrace.server.streaming.logprobs import chat_logprobs
from headrace.server.streaming.turn import Turn

Plain = dict[str, Any]


async def whole(turn: Turn, terms: Plain) -> bytes:
    """The answer as one JSON.

    Args:
        terms: fields of the request that the answer repeats.
    """
    last: Plain = {}
    async with aclosing(_events(turn, terms)) as events:
        async for each in events:
            last = each
    return msgspec.json.encode(last["response"])


async def events(turn: Turn, terms: Plain) -> AsyncGenerator[bytes, None]:
    """The answer as OpenAI's events, numbered."""
    number = 0
    async with aclosing(_events(turn, terms)) as events:
        async for each in events:
            yield event({**each, "sequence_number": number}, each["type"])
            number += 1


async def _events(turn: Turn, terms: Plain) -> AsyncGenerator[Plain, None]:
    output = OutputItems(lambda entries: _logprobs(turn, entries))
    begun = False
    reason: str | None = None
    async with aclosing(turn.follow()) as following:
        async for _, fresh in following:
            if not begun:
                begun = True
                for kind in ("response.created", "response.in_progress"):
                    yield {"type": kind, "response": _response(turn, terms, [], "in_progress")}
            for each in output.add(fresh):
                yield each
            reason = fresh.finish_reason
    status = "incomplete" if reason == "length" else "completed"
    for each in output.end(status):
        yield each
    response = _response(turn, terms, output.items, status)
    yield {"type": f"response.{status}", "response": response}


def _response(turn: Turn, terms: Plain, output: Sequence[Plain], status: str) -> Plain:
    ended = status != "in_progress"
    return {
        "id": turn.name,
        "object": "response",
        "created_at": turn.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": turn.engine.name,
        "output": list(output),
        "previous_response_id": None,
        "store": False,
        "truncation": "disabled",
        "usage": _usage(turn) if ended else None,
        "timings": turn.timings if ended else None,
        **terms,
    }


def _usage(turn: Turn) -> Plain:
    usage = turn.usage
    details = usage.get("completion_tokens_details", {"reasoning_tokens": 0})
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": usage["prompt_tokens_details"],
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": details,
        "total_tokens": usage["total_tokens"],
    }


def _logprobs(turn: Turn, entries: Sequence[TokenLogprobs]) -> list[Plain]:
    return chat_logprobs(turn.engine.tokenizer, entries)
