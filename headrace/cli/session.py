"""A model on a terminal: one answer, or a chat."""

from __future__ import annotations

import signal
import sys
from dataclasses import astuple, dataclass, field
from importlib import import_module
from types import TracebackType
from typing import Self

from headrace.api import Model, load
from headrace.build import Isa, Kv, Weights
from headrace.cli.console import note, terminal_progress
from headrace.cli.speed import closing_line
from headrace.engine.generation import Generation
from headrace.engine.request import Request
from headrace.errors import HeadraceError

INTERRUPTED = 130
HELP = "/clear forgets the conversation, /bye or Ctrl-D leaves, Ctrl-C stops an answer"


@dataclass
class Session:
    """A loaded model, how it is to answer, and the conversation so far."""

    model: Model
    request: Request
    raw: bool
    messages: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    @staticmethod
    def open(
        source: str,
        request: Request,
        raw: bool,
        context: int | None,
        threads: int | None,
        weights: Weights,
        kv: Kv,
        isa: Isa | None,
    ) -> Session:
        progress = terminal_progress()
        model = load(source, weights, threads, context, kv=kv, isa=isa, progress=progress)
        return Session(model, request, raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.model.close()

    def answer_once(self, prompt: str) -> int:
        """Answer one prompt; gives the exit status."""
        generation = self._generate(prompt)
        self._stream(generation)
        if generation.finish_reason not in ("stop", "length"):
            return INTERRUPTED
        self._close(generation)
        return 0

    def chat(self) -> int:
        """Answer line by line until the input ends; gives the exit status."""
        import_module("readline")  # gives `input` its editing and history

        note(HELP)
        self._converse()
        # Readline keeps a signal of its last prompt and sends it again when the process ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return 0

    def _converse(self) -> None:
        while True:
            try:
                line = input("> ").strip()
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print()
                continue
            if line == "/bye":
                return
            if line == "/clear":
                self.messages.clear()
            elif line:
                self._turn(line)

    def _turn(self, line: str) -> None:
        """Answer a line; a turn without an answer leaves no trace in the conversation."""
        before = len(self.messages)
        try:
            generation = self._generate(line)
            self._reply(generation)
        except HeadraceError as error:
            del self.messages[before:]
            note(str(error))
        except KeyboardInterrupt:
            if len(self.messages) == before + 1:
                del self.messages[before:]
            print()

    def _reply(self, generation: Generation[str]) -> None:
        answer = self._stream(generation)
        self.messages.append({"role": "assistant", "content": answer})
        if generation.finish_reason in ("stop", "length"):
            self._close(generation)

    def _generate(self, prompt: str) -> Generation[str]:
        request = self.request
        names = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "seed")
        values = dict(zip(names, astuple(request), strict=True))
        if self.raw:
            return self.model.generate(prompt, **values)
        self.messages.append({"role": "user", "content": prompt})
        return self.model.chat(self.messages, **values)

    def _stream(self, generation: Generation[str]) -> str:
        """Write the answer as it comes; Ctrl-C ends it."""
        pieces: list[str] = []
        try:
            with generation:
                for piece in generation:
                    pieces.append(piece)
                    sys.stdout.write(piece)
                    sys.stdout.flush()
        except KeyboardInterrupt:
            pass
        sys.stdout.write("\n")
        sys.stdout.flush()
        return "".join(pieces)

    def _close(self, generation: Generation[str]) -> None:
        statistics = generation.statistics
        if generation.finish_reason == "length":
            full = statistics.generated_tokens < self.request.max_tokens
            limit = f"the context's {self.model.context} tokens" if full else "--max-tokens"
            note(f"[the answer ends at {limit}]")
        note(f"[{closing_line(self.model, statistics)}]")
