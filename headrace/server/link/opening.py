"""A model is loaded in its engine process, on its share of the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.build import Artifact, Options, build, default_workers
from headrace.engine.choice.grammars import Grammars
from headrace.engine.job import Event, ServiceSettings
from headrace.engine.service import Service
from headrace.machine import Host, probe_host
from headrace.runtime.program import Program
from headrace.server.link.messages import Open, Opened, Step
from headrace.server.link.outbox import Outbox
from headrace.text import Tokenizer

SWEEPS = 5


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded model that nobody drives yet."""

    program: Program
    grammars: Grammars | None
    stops: tuple[int, ...]
    settings: ServiceSettings
    opened: Opened

    def start(self, deliver: Callable[[list[Event]], None]) -> Service:
        """Start the loop that feeds the workers."""
        return Service(self.program, self.stops, self.grammars, self.settings, deliver)


def open_engine(order: Open, outbox: Outbox) -> Engine:
    """Load a model; tells of the steps.

    Raises:
        HeadraceError: as `headrace.load`; TokenizerError: it has no tokenizer.
    """
    host = probe_host()
    cpus, threads = _share(host, order)
    options = Options(threads, order.weights, kv=order.kv)
    artifact = build(order.source, options, _Teller(outbox))
    tokenizer = artifact.tokenizer()
    program = _program(artifact, order, cpus)
    stops = artifact.about.stop_tokens
    opened = Opened(
        context=program.context,
        vocabulary=program.manifest.vocabulary,
        stop_tokens=stops,
        threads=threads,
        read_seconds=min(program.sweep(1) for _ in range(SWEEPS)),
        tokenizer=tokenizer.to_json(),
    )
    return Engine(program, _grammars(tokenizer, opened.vocabulary), stops, order.service, opened)


def _grammars(tokenizer: Tokenizer, vocabulary: int) -> Grammars | None:
    """None: the model has no stop token, so that no answer in a form could end."""
    return Grammars(tokenizer, vocabulary) if tokenizer.stop_ids else None


def _program(artifact: Artifact, order: Open, cpus: tuple[int, ...]) -> Program:
    return Program(
        artifact.manifest,
        artifact.code,
        artifact.packed,
        context=order.context,
        kv_tokens=order.kv_tokens,
        cpus=cpus,
    )


def _share(host: Host, order: Open) -> tuple[tuple[int, ...], int]:
    """The processors of one engine of several, and its workers.

    Cores are dealt in turn, one worker each. Where the workers of all engines are more than there
    are cores, engines share all processors.
    """
    if order.engines == 1:
        threads = default_workers() if order.threads is None else order.threads
        return host.worker_cpus(threads), threads
    threads = max(1, host.cores // order.engines) if order.threads is None else order.threads
    own = host.core_cpus[order.place * threads : (order.place + 1) * threads]
    apart = order.engines * threads <= len(host.core_cpus)
    return (own if apart else host.cpus), threads


class _Teller:
    """Progress of loading, as reports."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def start(self, label: str, total_bytes: int | None) -> None:
        self._outbox.send(Step(label, total_bytes))

    def advance(self, byte_count: int) -> None:
        pass

    def done(self) -> None:
        pass
