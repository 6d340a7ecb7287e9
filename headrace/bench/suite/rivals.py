"""The peers of a workload: which can run it, and one timed run of each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headrace.bench.peers.engines import ENGINES, Engine
from headrace.bench.peers.loaded import LoadedPeer, Room
from headrace.bench.peers.pythons import Installed, missing_text, python_of
from headrace.bench.runner import prompt_tokens
from headrace.bench.suite.ours import Turn
from headrace.bench.suite.workload import Workload
from headrace.checkpoint.progress import Progress, step
from headrace.checkpoint.source import Source
from headrace.errors import MachineError, RequestError


@dataclass(frozen=True, slots=True)
class Field:
    """Who may take part in a run of the suite.

    Attributes:
        engines: those that were asked for. installed: the packages of each Python.
        threads: of every engine.
    """

    engines: Sequence[Engine]
    installed: Installed
    threads: int


class Loaded(Protocol):
    """A peer that is ready: the version of its package, and its fastest setting, if it has any."""

    @property
    def version(self) -> str: ...

    @property
    def setting(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Rival:
    """A loaded peer and its part of a workload: the run of a repetition."""

    engine: Engine
    peer: Loaded
    run: Callable[[int], Turn]


@dataclass(slots=True)
class Rivals:
    """The peers of a workload, and why others are not among them, by name."""

    present: list[Rival] = field(default_factory=list[Rival])
    left_out: dict[str, str] = field(default_factory=dict[str, str])

    def drop(self, rival: Rival, why: str) -> None:
        """Leave a peer out from now on."""
        self.present.remove(rival)
        self.left_out[rival.engine.name] = why


@contextmanager
def rivals_of(
    workload: Workload, source: Source, vocabulary: int, field: Field, progress: Progress
) -> Generator[Rivals]:
    """Load and tune every peer that can run the workload; they end with the block."""
    rivals = Rivals(left_out=dict(not_asked(workload, field.engines)))
    with ExitStack() as stack:
        for engine in field.engines:
            if engine.name in rivals.left_out:
                continue
            python = python_of(engine, field.installed)
            if python is None:
                rivals.left_out[engine.name] = missing_text(engine)
                continue
            try:
                with step(progress, f"loading {engine.name}", None):
                    peer = _load(engine, python, source.path, workload, field.threads)
                    stack.enter_context(peer)
                    run = _run_of(workload, peer, vocabulary)
                    _tune(peer, run)
            except (MachineError, RequestError) as error:
                rivals.left_out[engine.name] = short_reason(error)
            else:
                rivals.present.append(Rival(engine, peer, _turns(run, workload.tokens)))
        yield rivals


def _turns(run: Callable[[int], float], tokens: int) -> Callable[[int], Turn]:
    return lambda number: Turn(run(number), tokens)


def short_reason(error: MachineError | RequestError) -> str:
    """An engine's reason in one line; engines' own stand after their traces."""
    lines = [line.strip() for line in error.what.splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text if len(text) <= _REASON else f"{text[:_REASON]}…"


_REASON = 160


def not_asked(workload: Workload, engines: Sequence[Engine]) -> Mapping[str, str]:
    """Engines that a workload does not ask, by name, and why."""
    asked = {ENGINES[key].name for key in workload.peers}
    return {each.name: workload.alone for each in engines if each.name not in asked}


def _load(engine: Engine, python: str, path: Path, workload: Workload, threads: int) -> LoadedPeer:
    room = Room(workload.positions + 1, workload.sequences)
    return LoadedPeer(engine, python, path, threads, room)


def _run_of(workload: Workload, peer: LoadedPeer, vocabulary: int) -> Callable[[int], float]:
    """A timed run; prompts to be read differ by its number, so that no engine remembers one."""
    count = workload.context
    if workload.kind == "prefill":
        return lambda number: peer.prefill(prompt_tokens(count, vocabulary, number + 1).tolist())
    prompts = [prompt_tokens(count, vocabulary, n).tolist() for n in range(workload.sequences)]
    return lambda number: peer.decode(prompts, workload.steps)


def _tune(peer: LoadedPeer, run: Callable[[int], float]) -> None:
    numbers = iter(range(1000, 2000))
    peer.tune(lambda: run(next(numbers)))
