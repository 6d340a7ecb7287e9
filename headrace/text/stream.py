"""Text out of tokens, one token at a time."""

from __future__ import annotations

import codecs
from collections.abc import Callable


class TextStream:
    """Turns tokens into text as they come; never gives out a part of a UTF-8 character.

    Bytes that are no UTF-8 come out as U+FFFD. The pieces joined equal `Tokenizer.decode` of all
    tokens.
    """

    def __init__(self, token_bytes: Callable[[int], bytes], *, strip_prefix_space: bool) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strip = strip_prefix_space

    def push(self, token_id: int) -> str:
        """The text that this token completes, which may be empty.

        Raises:
            TokenizerError: the id is negative.
        """
        return self._stripped(self._decoder.decode(self._token_bytes(token_id)))

    def flush(self) -> str:
        """What the last tokens left incomplete; the stream is at its end."""
        return self._stripped(self._decoder.decode(b"", final=True))

    def _stripped(self, text: str) -> str:
        if self._strip and text:
            self._strip = False
            return text.removeprefix(" ")
        return text
