"""Tokens that the host chooses while the native program goes on with other sequences."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headrace.engine.choice.chooser import Chosen
from headrace.engine.job import TokenLogprobs
from headrace.engine.scheduler import Scheduler
from headrace.engine.work import Work
from headrace.errors import RequestError

LOG = logging.getLogger("headrace.engine")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a sequence has no next token: its request's fault (`invalid`), or ours (`error`)."""

    reason: Literal["invalid", "error"]
    message: str


class Choices:
    """The sequences whose logits have been computed and whose next tokens have not been chosen."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._pending: list[tuple[Work, NDArray[np.float32]]] = []

    def __bool__(self) -> bool:
        return bool(self._pending)

    def note(self, works: Iterable[Work], logits: NDArray[np.float32]) -> None:
        """Copy the rows of sequences whose tokens the host chooses.

        Args:
            works: in the order of the rows. logits: f32 `[rows, V]`, until the next schedule.
        """
        for work, row in zip(works, logits, strict=True):
            if work.chooser is not None:
                self._pending.append((work, row.copy()))

    def settle(self) -> Iterator[tuple[Work, Failure | None]]:
        """Choose a token for each: those that have one more, or what was wrong.

        It may be done while a schedule runs, which has none of them. Whatever fails for one
        sequence is that one's alone.
        """
        pending, self._pending = self._pending, []
        for work, logits in pending:
            if work.ended:
                continue
            try:
                self._choose(work, logits)
            except RequestError as error:
                yield work, Failure("invalid", str(error))
            except BaseException as error:  # a panic of the grammars' library is no Exception
                LOG.error("choosing a token of job %s failed", work.job.id, exc_info=error)
                yield work, Failure("error", "the engine failed to choose the next token")
            else:
                yield work, None

    def _choose(self, work: Work, logits: NDArray[np.float32]) -> None:
        sequence = work.sequence
        assert work.chooser is not None
        chosen = work.chooser.choose(logits, sequence.known - 1)
        logprobs = _logprobs(chosen)
        self._scheduler.choose(sequence, chosen.token, last=chosen.finished)
        work.saw(chosen.token, logprobs)


def _logprobs(chosen: Chosen) -> TokenLogprobs | None:
    if chosen.logprob is None:
        return None
    return TokenLogprobs(chosen.token, chosen.logprob, chosen.top)
