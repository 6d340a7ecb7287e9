"""Servers on this machine's loopback under load: ours, and llama.cpp's on the same file."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from time import perf_counter

from headrace.bench.peers.engines import LLAMA_CPP
from headrace.bench.peers.pythons import missing_text, package_version, python_of
from headrace.bench.serving.generator import Generator as LoadGenerator
from headrace.bench.serving.generator import Streams
from headrace.bench.serving.prompts import TextPrompts
from headrace.bench.serving.records import Load, percentile
from headrace.bench.serving.servers import (
    complete,
    free_port,
    headrace_command,
    llama_command,
    serving,
)
from headrace.bench.suite.ours import Turn, Work, open_filled
from headrace.bench.suite.rivals import Field, Rival, Rivals, not_asked, short_reason
from headrace.bench.suite.workload import (
    FIRST_TOKEN,
    GAP,
    GAP_P99,
    GAP_RATIO,
    SERVED_SHARE,
    Workload,
)
from headrace.build import Artifact
from headrace.checkpoint.progress import Progress, step
from headrace.checkpoint.source import Source
from headrace.engine.engine import Engine
from headrace.engine.request import Request
from headrace.errors import MachineError, RequestError

#: llama.cpp's server has room for one sequence; a few tokens more than any of ours has.
_ROOM = 64


@dataclass(frozen=True, slots=True)
class Traffic:
    """What every server of a workload is asked: in each turn other prompts."""

    generator: LoadGenerator
    prompts: TextPrompts
    workload: Workload

    def texts(self, turn: int) -> list[str]:
        """The prompts of a turn; none has been in another."""
        size = self.workload.answers
        return [self.prompts.text(turn * size + number) for number in range(size)]

    def run(self, url: str, turn: int) -> Turn:
        """Put a server under load."""
        work = self.workload
        streams = Streams(self.texts(turn), work.sequences, work.steps)
        return _turn(self.generator.run(url, work.model, streams))


@dataclass(frozen=True, slots=True)
class Served:
    """Our server; where a bar asks for it, between two runs of the same work by the engine alone.

    Attributes:
        batch: seconds that the engine alone takes for prompts; None: no bar asks.
    """

    traffic: Traffic
    url: str
    turns: count[int]
    batch: Callable[[list[str]], float] | None

    def run(self) -> Turn:
        number = next(self.turns)
        if self.batch is None:
            return self.traffic.run(self.url, number)
        texts = self.traffic.texts(number)
        before = self.batch(texts)
        turn = self.traffic.run(self.url, number)
        alone = (before + self.batch(texts)) / 2
        share = turn.tokens / turn.seconds / (self.traffic.workload.tokens / alone)
        return Turn(turn.seconds, turn.tokens, {**turn.figures, SERVED_SHARE: share})


def traffic_of(artifact: Artifact, workload: Workload, field: Field) -> Traffic:
    """The load of a workload.

    Raises:
        RequestError: there is nothing that generates it, or no prompts can be made.
    """
    prompts = TextPrompts(artifact.tokenizer(), workload.context)
    return Traffic(LoadGenerator(field.installed), prompts, workload)


@contextmanager
def serve_work(artifact: Artifact, traffic: Traffic, threads: int) -> Generator[Work]:
    """`headrace serve`, ready."""
    workload, port = traffic.workload, free_port()
    asked = any(bar.figure == SERVED_SHARE for bar in workload.bars)
    with ExitStack() as stack:
        command = headrace_command(workload.model, threads, port)
        url = stack.enter_context(serving(command, port, "/ready"))
        batch = stack.enter_context(_batch(artifact, traffic)) if asked else None
        yield Served(traffic, url, count(), batch)


@contextmanager
def served_rivals(
    traffic: Traffic, source: Source, field: Field, progress: Progress
) -> Generator[Rivals]:
    """llama.cpp's server, if it is among the engines that were asked for."""
    workload = traffic.workload
    rivals = Rivals(left_out=dict(not_asked(workload, field.engines)))
    with ExitStack() as stack:
        if LLAMA_CPP in field.engines and LLAMA_CPP.key in workload.peers:
            try:
                with step(progress, f"starting {LLAMA_CPP.name}'s server", None):
                    rivals.present.append(_llama(traffic, source, field, stack))
            except (MachineError, RequestError) as error:
                rivals.left_out[LLAMA_CPP.name] = short_reason(error)
        yield rivals


@dataclass(frozen=True, slots=True)
class _LlamaServer:
    version: str
    setting: str = ""


def _llama(traffic: Traffic, source: Source, field: Field, stack: ExitStack) -> Rival:
    python = python_of(LLAMA_CPP, field.installed)
    if python is None:
        raise RequestError(missing_text(LLAMA_CPP))
    room, port = traffic.workload.positions + _ROOM, free_port()
    command = llama_command(python, source.path, field.threads, room, port)
    url = stack.enter_context(serving(command, port, "/v1/models"))

    def run(number: int) -> Turn:
        return traffic.run(url, number + 1)  # ours has warmed up with turn 0

    complete(url, traffic.prompts.text(0))
    return Rival(LLAMA_CPP, _LlamaServer(package_version(python, LLAMA_CPP.packages[0])), run)


@contextmanager
def _batch(artifact: Artifact, traffic: Traffic) -> Generator[Callable[[list[str]], float]]:
    """The engine alone, in this process, on as many threads."""
    workload = traffic.workload
    with open_filled(artifact, workload.positions, workload.sequences) as program:
        engine, request = Engine(program), Request(workload.steps)

        def run(texts: list[str]) -> float:
            prompts = [traffic.prompts.encoded(each) for each in texts]
            begin = perf_counter()
            engine.generate_batch(prompts, request).collect()
            return perf_counter() - begin

        yield run


def _turn(load: Load) -> Turn:
    firsts, gaps = load.firsts, load.gaps
    middle, late = percentile(gaps, 0.5), percentile(gaps, 0.99)
    figures = {
        FIRST_TOKEN: 1e3 * percentile(firsts, 0.5),
        GAP: 1e3 * middle,
        GAP_P99: 1e3 * late,
        GAP_RATIO: late / middle,
    }
    return Turn(load.seconds, load.tokens, figures)
