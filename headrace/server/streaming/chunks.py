"""Server-sent events, written with as little work as there can be for each.

Everything but the text is the same in all chunks of a choice: its bytes are made once, and a chunk
is these, the text as JSON, and the rest.
"""

from __future__ import annotations

from typing import Any

import msgspec

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
        usage: whether chunks say `"usage": null`, because the last one tells it.
    """

    def __init__(self, head: dict[str, Any], *, usage: bool) -> None:
        self._head = head
        self._tail = {"usage": None} if usage else {}
        self._plain: dict[int, bytes] = {}
        start = _encode(head)[:-1]
        self._start = b"data: " + start + b',"choices":[{"index":'
        self._text_end = b',"logprobs":null,"finish_reason":null}]'
        self._text_end += b',"usage":null}\n\n' if usage else b"}\n\n"

    def text(self, index: int, opening: bytes, text: str, closing: bytes) -> bytes:
        """A chunk that holds text only, between bytes of JSON."""
        start = self._plain.get(index)
        if start is None:
            start = self._plain[index] = self._start + str(index).encode() + b","
        return b"".join((start, opening, _encode(text), closing, self._text_end))

    def choice(self, choice: dict[str, Any], **more: object) -> bytes:
        """Any chunk of a choice."""
        return event({**self._head, "choices": [choice], **self._tail, **more})

    def totals(self, **more: object) -> bytes:
        """The chunk without choices, after all of them."""
        return event({**self._head, "choices": [], **more})
