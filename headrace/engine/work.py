"""A job under way: its sequence, its times, and what has not been told yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from time import monotonic

from headrace.engine.choice.chooser import Chooser
from headrace.engine.job import Ended, EndReason, Event, Job, TokenLogprobs, Tokens, Usage
from headrace.engine.sequence import SequenceState


@dataclass(slots=True, eq=False)
class Work:
    """One job on its way through a service.

    Attributes:
        chooser: chooses its tokens, where the host does.
        begun: when it was first fed. first, last: when its first and last tokens were seen.
        ended: whether its last event is made.
    """

    job: Job
    sequence: SequenceState
    chooser: Chooser | None = None
    submitted: float = field(default_factory=monotonic)
    begun: float | None = None
    first: float | None = None
    last: float | None = None
    generated: int = 0
    ended: bool = False
    _tokens: list[int] = field(default_factory=list[int])
    _logprobs: list[TokenLogprobs] = field(default_factory=list[TokenLogprobs])

    @property
    def deadline(self) -> float:
        """When it must have ended, on the clock of `monotonic`."""
        return inf if self.job.seconds is None else self.submitted + self.job.seconds

    def begin(self) -> None:
        """It is fed."""
        self.begun = self.begun or monotonic()

    def saw(self, token: int, logprobs: TokenLogprobs | None = None) -> None:
        """A token of it has been generated."""
        self.last = monotonic()
        self.first = self.first or self.last
        if token in self.sequence.stops:
            return
        self.generated += 1
        self._tokens.append(token)
        if logprobs is not None:
            self._logprobs.append(logprobs)

    def told(self) -> list[Event]:
        """The tokens that have not been told yet, as an event; none if there are none."""
        if not self._tokens:
            return []
        event = Tokens(self.job.id, self._tokens, self._logprobs or None)
        self._tokens, self._logprobs = [], []
        return [event]

    def end(self, reason: EndReason, message: str | None = None) -> list[Event]:
        """Its last events."""
        self.ended = True
        return [*self.told(), Ended(self.job.id, reason, message, self.usage())]

    def usage(self) -> Usage:
        """What it took so far."""
        now = monotonic()
        begun = self.begun or now
        first = self.first or now
        return Usage(
            prompt_tokens=len(self.sequence.prompt),
            cached_tokens=self.sequence.cached,
            generated_tokens=self.generated,
            queue_seconds=begun - self.submitted,
            prefill_seconds=first - begun,
            decode_seconds=(self.last or first) - first,
            preemptions=self.sequence.preemptions,
        )
