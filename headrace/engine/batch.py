"""Answers to several prompts, made together."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self

from headrace.engine.generation import FinishReason, Other, Piece, Record, Statistics


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one answer of a batch ended, and what it took; `finish_reason` as `Generation`'s."""

    finish_reason: FinishReason | None
    statistics: Statistics


class BatchGeneration(Iterator[tuple[int, Piece]], Generic[Piece]):
    """Pairs of a prompt's number and the next piece of its answer, as they are made.

    Closing it, or leaving it as a context manager, stops all answers.
    """

    def __init__(
        self, pieces: Generator[tuple[int, Piece], None, None], records: Sequence[Record]
    ) -> None:
        self._pieces = pieces
        self._records = records

    def __next__(self) -> tuple[int, Piece]:
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
        """Stop generating; nothing happens if all has ended."""
        self._pieces.close()

    def through(self, pieces: Generator[tuple[int, Other], None, None]) -> BatchGeneration[Other]:
        """The same answers in other pieces, which are made of these."""
        return BatchGeneration(pieces, self._records)

    def collect(self) -> list[list[Piece]]:
        """All pieces that are still to come, answer by answer."""
        answers: list[list[Piece]] = [[] for _ in self._records]
        for index, piece in self:
            answers[index].append(piece)
        return answers

    @property
    def outcomes(self) -> list[Outcome]:
        """How each answer ended (None: it goes on), and what it took so far."""
        return [Outcome(each.finish_reason, each.statistics()) for each in self._records]
