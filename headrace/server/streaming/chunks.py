"""Server-sent events, written with as little work as there can be for each.

Everything but the text is the same in all chunks of a choice: its bytes are made once, and a chunk
is these, the text as JSON, and the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.server.protocol.usage import UsageTold

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def event(data: object, name: str | None = None) -> bytes:
    """One event, of a type where it has one."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + _encode(data) + b"\n\n"


class ChunkWriter:
    """The chunks of a stream of OpenAI's kind.

    Args:
        head: the fields that all chunks have: id, object, created, model.
        told: where the last chunk alone tells usage, the others say `"usage": null`.
        usage: as it is so far.
    """

    def __init__(
        self, head: dict[str, Any], told: UsageTold, usage: Callable[[], dict[str, Any]]
    ) -> None:
        self._head = head
        self._told, self._usage = told, usage
        self._plain: dict[int, bytes] = {}
        start = _encode(head)[:-1]
        self._start = b"data: " + start + b',"choices":[{"index":'
        self._end = self._ending()

    def text(self, index: int, opening: bytes, text: str, closing: bytes) -> bytes:
        """A chunk that holds text only, between bytes of JSON."""
        start = self._plain.get(index)
        if start is None:
            start = self._plain[index] = self._start + str(index).encode() + b","
        end = self._ending() if self._told == "each" else self._end
        return b"".join((start, opening, _encode(text), closing, end))

    def choice(self, choice: dict[str, Any], **more: object) -> bytes:
        """Any chunk of a choice."""
        return event({**self._head, "choices": [choice], **self._tail(), **more})

    def totals(self, **more: object) -> bytes:
        """The chunk without choices, after all of them."""
        return event({**self._head, "choices": [], **more})

    def _tail(self) -> dict[str, Any]:
        if self._told == "never":
            return {}
        return {"usage": self._usage() if self._told == "each" else None}

    def _ending(self) -> bytes:
        """What stands behind a text."""
        tail = _encode(self._tail())[1:]
        comma = b"," if len(tail) > 1 else b""
        return b',"logprobs":null,"finish_reason":null}]' + comma + tail + b"\n\n"
