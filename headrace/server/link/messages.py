"""What the HTTP process tells an engine process (commands), and what it is told (reports)."""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.engine.job import Event, Job, ServiceSettings, ServiceStats

Weights = Literal["auto", "f32", "bf16", "q8", "q4"]
Kv = Literal["auto", "f32", "f16", "bf16", "q8"]


class Open(msgspec.Struct, frozen=True, kw_only=True, tag="open"):
    """Load a model; the first command, and only that.

    Attributes:
        source: as `headrace.checkpoint.source.resolve` takes it.
        threads: None: this engine's share of the cores.
        place, engines: this is engine number `place` of so many on the machine.
        weights, context, kv, kv_tokens: as `headrace.load`.
    """

    source: str
    place: int = 0
    engines: int = 1
    threads: int | None = None
    weights: Weights = "auto"
    context: int | None = None
    kv: Kv = "auto"
    kv_tokens: int | None = None
    service: ServiceSettings = ServiceSettings()


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    job: Job


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    id: str


class Embed(msgspec.Struct, frozen=True, tag="embed"):
    id: str
    tokens: list[int]


class AskStats(msgspec.Struct, frozen=True, tag="stats"):
    id: int


class Close(msgspec.Struct, frozen=True, tag="close"):
    """End: jobs under way have so many seconds yet."""

    seconds: float


Command = Open | Submit | Embed | Cancel | AskStats | Close


class Step(msgspec.Struct, frozen=True, tag="step"):
    """Loading has come to a step; bytes: that it will read or write, where known."""

    label: str
    bytes: int | None


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The model is loaded.

    Attributes:
        context: tokens that prompt and answer may have together.
        vocabulary: logits a token. stop_tokens: that end an answer.
        threads: workers.
        read_seconds: the time in which the workers only read the packed weights; the time of a
            step that decodes one sequence is never shorter by much.
        tokenizer: as `Tokenizer.to_json`.
    """

    context: int
    vocabulary: int
    stop_tokens: tuple[int, ...]
    threads: int
    read_seconds: float
    tokenizer: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The model cannot be loaded: a `HeadraceError` of class `kind`."""

    kind: str
    what: str
    where: str | None
    hint: str | None


class Events(msgspec.Struct, frozen=True, tag="events"):
    events: list[Event]


class Stats(msgspec.Struct, frozen=True, tag="stats"):
    id: int
    stats: ServiceStats


Report = Step | Opened | Failed | Events | Stats
