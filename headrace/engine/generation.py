"""An answer under way: its pieces, how it ended, what it took."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

FinishReason = Literal["stop", "length", "cancelled"]
"""`stop`: a stop token; `length`: max_tokens or the end of the context; `cancelled`: closed."""

Piece = TypeVar("Piece", int, str)
Other = TypeVar("Other", int, str)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What an answer took so far.

    Attributes:
        generated_tokens: without the stop token.
        prefill_seconds: from the request to the first token.
        decode_tokens, decode_seconds: tokens after those that were first seen, and their time.
        host_calls: schedules handed to the native program, those of the prompt included.
    """

    prompt_tokens: int
    generated_tokens: int
    prefill_seconds: float
    decode_tokens: int
    decode_seconds: float
    host_calls: int

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of decoding; None where too few tokens came to tell."""
        if self.decode_tokens == 0 or self.decode_seconds <= 0:
            return None
        return self.decode_tokens / self.decode_seconds


class Record:
    """Notes of an answer while it is made."""

    def __init__(self, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.generated = 0
        self.host_calls = 0
        self.finish_reason: FinishReason | None = None
        self._produced = 0
        self._began = time.perf_counter()
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def start(self) -> None:
        self._began = time.perf_counter()

    def saw(self, tokens: int) -> None:
        """That many tokens more have been produced by now."""
        self._produced += tokens
        self._last = (time.perf_counter(), self._produced)
        self._first = self._first or self._last

    def statistics(self) -> Statistics:
        first = self._first or (self._began, 0)
        last = self._last or first
        return Statistics(
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated,
            prefill_seconds=first[0] - self._began,
            decode_tokens=last[1] - first[1],
            decode_seconds=last[0] - first[0],
            host_calls=self.host_calls,
        )


class Generation(Iterator[Piece], Generic[Piece]):
    """The pieces of one answer, tokens or text, made while they are read.

    Closing it, or leaving it as a context manager, stops the generation. It begins with the first
    piece asked for; until it has ended its model takes no other request.
    """

    def __init__(self, pieces: Generator[Piece, None, None], record: Record) -> None:
        self._pieces = pieces
        self._record = record

    def __next__(self) -> Piece:
        return next(self._pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop generating; nothing happens if it has ended."""
        self._pieces.close()

    def through(self, pieces: Generator[Other, None, None]) -> Generation[Other]:
        """The same answer in other pieces, which are made of this one's."""
        return Generation(pieces, self._record)

    @property
    def finish_reason(self) -> FinishReason | None:
        """How it ended; None while it goes on."""
        return self._record.finish_reason

    @property
    def statistics(self) -> Statistics:
        """What it took so far."""
        return self._record.statistics()
