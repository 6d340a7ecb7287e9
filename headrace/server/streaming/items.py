"""The output of a response: items that grow, and the events that tell of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from headrace.engine.job import TokenLogprobs
from headrace.server.streaming.answer import Fresh
from headrace.server.tools.split import CallDelta

Plain = dict[str, Any]
PARTS = {"message": "output_text", "reasoning": "reasoning_text"}
PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_"}


class OutputItems:
    """Items in the order in which they come, one of which is open at a time.

    Args:
        logprobs: writes the log-probabilities of some tokens.

    Attributes:
        items: as the answer has them.
    """

    def __init__(self, logprobs: Callable[[Sequence[TokenLogprobs]], list[Plain]]) -> None:
        self.items: list[Plain] = []
        self._logprobs = logprobs
        self._open: Plain | None = None
        self._call = -1

    def add(self, fresh: Fresh) -> Iterator[Plain]:
        """Events, without their numbers."""
        if fresh.reasoning:
            yield from self._text("reasoning", fresh.reasoning, ())
        if fresh.content or (fresh.logprobs and not (fresh.calls or fresh.reasoning)):
            yield from self._text("message", fresh.content, fresh.logprobs)
        for call in fresh.calls:
            yield from self._arguments(call)

    def end(self, status: str) -> Iterator[Plain]:
        """The last item's end; an answer without any has an empty message."""
        if not self.items:
            yield from self._text("message", "", ())
        yield from self._close(status)

    def _text(self, kind: str, text: str, told: Sequence[TokenLogprobs]) -> Iterator[Plain]:
        if self._open is None or self._open["type"] != kind:
            yield from self._start(self._text_item(kind))
            yield self._part("response.content_part.added")
        part = self._last["content"][0]
        part["text"] += text
        extra: Plain = {}
        if kind == "message":
            extra["logprobs"] = self._logprobs(told)
            part["logprobs"] += extra["logprobs"]
        yield {
            "type": f"response.{PARTS[kind]}.delta",
            **self._place(),
            "content_index": 0,
            "delta": text,
            **extra,
        }

    def _arguments(self, call: CallDelta) -> Iterator[Plain]:
        if call.name is not None:
            self._call = call.index
            fields = {"call_id": call.id, "name": call.name, "arguments": ""}
            yield from self._start(_item("function_call", **fields))
        self._last["arguments"] += call.arguments
        if call.arguments:
            kind = "response.function_call_arguments.delta"
            yield {"type": kind, **self._place(), "delta": call.arguments}

    @property
    def _last(self) -> Plain:
        return self.items[-1]

    def _text_item(self, kind: str) -> Plain:
        if kind == "reasoning":
            return _item(kind, summary=[], content=[{"type": PARTS[kind], "text": ""}])
        part: Plain = {"type": PARTS[kind], "text": "", "annotations": [], "logprobs": []}
        return _item(kind, role="assistant", content=[part])

    def _start(self, item: Plain) -> Iterator[Plain]:
        yield from self._close("completed")
        self.items.append(item)
        self._open = item
        shown: Plain = {**item, "content": []} if "content" in item else dict(item)
        place = {"output_index": len(self.items) - 1}
        yield {"type": "response.output_item.added", **place, "item": shown}

    def _close(self, status: str) -> Iterator[Plain]:
        item, self._open = self._open, None
        if item is None:
            return
        item["status"] = status
        place = self._place()
        if item["type"] == "function_call":
            told = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": "response.function_call_arguments.done", **place, **told}
        else:
            part = item["content"][0]
            extra = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
            kind = f"response.{part['type']}.done"
            yield {"type": kind, **place, "content_index": 0, "text": part["text"], **extra}
            yield self._part("response.content_part.done")
        yield {
            "type": "response.output_item.done",
            "output_index": place["output_index"],
            "item": item,
        }

    def _part(self, kind: str) -> Plain:
        return {
            "type": kind,
            **self._place(),
            "content_index": 0,
            "part": dict(self._last["content"][0]),
        }

    def _place(self) -> Plain:
        return {"item_id": self._last["id"], "output_index": len(self.items) - 1}


def _item(kind: str, **fields: Any) -> Plain:
    name = PREFIXES[kind] + secrets.token_hex(16)
    return {"id": name, "type": kind, "status": "in_progress", **fields}
