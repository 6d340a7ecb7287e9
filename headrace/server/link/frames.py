"""Messages on a stream of bytes: four bytes of length, little-endian, and so many of content."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.errors import MachineError

HEADER = 4

#: The largest vocabularies' tokenizers are some 35 MB of JSON.
MAX_FRAME = 128 << 20


def frame(message: bytes) -> bytes:
    """A message as it is sent.

    Raises:
        MachineError: it is longer than `MAX_FRAME`.
    """
    _require_length(len(message))
    return len(message).to_bytes(HEADER, "little") + message


class FrameReader:
    """Puts messages together from the pieces in which a stream delivers them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The messages that are whole now; take all of them before the next piece.

        Raises:
            MachineError: a message would be longer than `MAX_FRAME`.
        """
        self._buffer += piece
        start = 0
        while (end := self._end(start)) is not None:
            yield bytes(memoryview(self._buffer)[start + HEADER : end])
            start = end
        del self._buffer[:start]

    def _end(self, start: int) -> int | None:
        """Where the message at `start` ends; None: it is not whole."""
        body = start + HEADER
        if len(self._buffer) < body:
            return None
        length = int.from_bytes(self._buffer[start:body], "little")
        _require_length(length)
        return body + length if len(self._buffer) >= body + length else None


def _require_length(length: int) -> None:
    if length > MAX_FRAME:
        raise MachineError(
            f"a message of {length} bytes between server and engine: there are at most {MAX_FRAME}",
            where="headrace.server.link",
        )
