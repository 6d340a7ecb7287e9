"""One answer on its way from tokens to what a client reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headrace.engine.job import Ended, TokenLogprobs, Tokens, Usage
from headrace.server.reasoning import ReasoningSplit
from headrace.server.stops import StopStrings
from headrace.server.tools.split import CallDelta, CallSplit
from headrace.text import TextStream


@dataclass(slots=True)
class Fresh:
    """What has become of the tokens of one event.

    Attributes:
        finish_reason: in the last one only.
    """

    content: str = ""
    reasoning: str = ""
    calls: list[CallDelta] = field(default_factory=list[CallDelta])
    logprobs: Sequence[TokenLogprobs] = ()
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How an answer's text is read.

    Attributes:
        text: makes a decoder of tokens. reasoning: makes what splits off reasoning.
        calls: makes what splits off calls of tools; None where there are no tools.
        stops: strings that end the answer's content.
    """

    text: Callable[[], TextStream]
    reasoning: Callable[[], ReasoningSplit]
    calls: Callable[[], CallSplit] | None = None
    stops: tuple[str, ...] = ()


class Answer:
    """One sequence's tokens become text, reasoning and calls.

    Attributes:
        tokens: generated so far, those of a stop string included.
        reasoning_tokens: of these, in reasoning.
        usage: the engine's own figures, when it has ended.
        finish_reason: None while it goes on.
    """

    def __init__(self, reading: Reading) -> None:
        self._text = reading.text()
        self._reasoning = reading.reasoning()
        self._calls = reading.calls() if reading.calls else None
        self._stops = StopStrings(reading.stops)
        self._by_token = bool(reading.stops) or self._reasoning.marked
        self.tokens = 0
        self.reasoning_tokens = 0
        self.usage: Usage | None = None
        self.finish_reason: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found: what comes after it is not wanted."""
        return self._stops.met

    def take(self, event: Tokens) -> Fresh:
        """What the tokens of an event add."""
        fresh = Fresh()
        logprobs = event.logprobs or ()
        if self._by_token:
            count = self._one_by_one(event.tokens, fresh)
        else:
            count = len(event.tokens)
            self._read("".join(map(self._text.push, event.tokens)), fresh)
        self.tokens += count
        fresh.logprobs = logprobs[:count]
        return fresh

    def end(self, event: Ended) -> Fresh:
        """What was held back, and how it ended."""
        fresh = Fresh()
        self.usage = event.usage
        if self.stopped:
            fresh.finish_reason = self.finish_reason = "stop"
        else:
            self._flush(fresh)
            fresh.finish_reason = self.finish_reason = self._reason(event.reason)
        return fresh

    def _flush(self, fresh: Fresh) -> None:
        self._read(self._text.flush(), fresh)
        reasoning, content = self._reasoning.flush()
        fresh.reasoning += reasoning
        self._content(content, fresh)
        if self._calls is not None:
            self._sort(self._calls.flush(), fresh)
        fresh.content += self._stops.flush()

    def _one_by_one(self, tokens: Sequence[int], fresh: Fresh) -> int:
        """Tokens up to the one that completes a stop string."""
        for count, token in enumerate(tokens, 1):
            self.reasoning_tokens += self._reasoning.inside
            self._read(self._text.push(token), fresh)
            if self._stops.met:
                return count
        return len(tokens)

    def _read(self, text: str, fresh: Fresh) -> None:
        if not text:
            return
        reasoning, content = self._reasoning.push(text)
        fresh.reasoning += reasoning
        self._content(content, fresh)

    def _content(self, text: str, fresh: Fresh) -> None:
        if not text:
            return
        if self._calls is None:
            fresh.content += self._stops.push(text)
        else:
            self._sort(self._calls.push(text), fresh)

    def _sort(self, pieces: Sequence[str | CallDelta], fresh: Fresh) -> None:
        for piece in pieces:
            if isinstance(piece, str):
                fresh.content += self._stops.push(piece)
            elif not self._stops.met:
                fresh.calls.append(piece)

    def _reason(self, reason: str) -> str:
        called = self._calls is not None and self._calls.calls > 0
        return "tool_calls" if called and reason == "stop" else reason
