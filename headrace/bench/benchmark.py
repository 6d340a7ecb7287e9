"""A whole benchmark: build, measure, start again, and put the figures together."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from headrace.bench.figures import figures_of
from headrace.bench.interleave import Samples, interleave
from headrace.bench.kv import step_kv_bytes, whole_entries
from headrace.bench.peers.engines import LLAMA_CPP
from headrace.bench.peers.loaded import LoadedPeer, Room
from headrace.bench.peers.peer import Peer
from headrace.bench.peers.pythons import installed_packages, python_of
from headrace.bench.plan import Plan
from headrace.bench.programs import open_program
from headrace.bench.runner import Runner, prompt_tokens
from headrace.bench.spread import Spread, nested, spreads
from headrace.bench.startup import warm_start
from headrace.build import Artifact, Options, build
from headrace.checkpoint.progress import Progress, step
from headrace.checkpoint.source import Source, resolve
from headrace.errors import RequestError


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was measured: figures by dotted name, and the conditions."""

    conditions: dict[str, object]
    figures: dict[str, Spread]

    def to_json(self) -> str:
        """One object: conditions and medians, and under `spread` min, median, max by name."""
        spread = {name: asdict(each) for name, each in self.figures.items()}
        return json.dumps({**self.conditions, **nested(self.figures), "spread": spread}, indent=1)


def benchmark(
    model: str, options: Options, plan: Plan, pythons: Sequence[str] | None, progress: Progress
) -> Benchmark:
    """Measure a model.

    Args:
        pythons: of which one has llama-cpp-python, to measure llama.cpp beside; None for no peer.

    Raises:
        RequestError: the peer is not installed, or cannot read this model.
        HeadraceError: as `build`.
    """
    source = resolve(model, progress)
    artifact = build(model, options, progress)
    kv_bytes = step_kv_bytes(artifact, plan)
    with _peer(source, artifact, plan, pythons) as (other, version):
        samples = _measured(artifact, plan, kv_bytes, other, progress)
    with step(progress, "starting again", None):
        warm = [warm_start(model, options) for _ in range(plan.repetitions)]
    figures = figures_of(samples, plan, artifact.manifest, kv_bytes, warm)
    return Benchmark(_conditions(model, options, plan, version), spreads(figures))


def _measured(
    artifact: Artifact, plan: Plan, kv_bytes: int, peer: Peer | None, progress: Progress
) -> Samples:
    with (
        open_program(artifact, plan) as program,
        step(progress, f"measuring {plan.repetitions} times", None),
    ):
        return interleave(Runner(program), plan, whole_entries(artifact, kv_bytes), peer)


@contextmanager
def _peer(
    source: Source, artifact: Artifact, plan: Plan, pythons: Sequence[str] | None
) -> Generator[tuple[Peer | None, str | None]]:
    """llama.cpp on the same file, and its version; nothing where nobody asks for it."""
    if pythons is None:
        yield None, None
        return
    if source.kind != "gguf":
        raise RequestError("llama.cpp reads GGUF files only", where=f"--peers with {source.name}")
    threads, vocabulary = artifact.manifest.workers, artifact.manifest.vocabulary
    installed = {python: installed_packages(python) for python in pythons}
    python = python_of(LLAMA_CPP, installed) or pythons[0]
    tokens = prompt_tokens(plan.prompt, vocabulary).tolist()
    with LoadedPeer(LLAMA_CPP, python, source.path, threads, Room(plan.tokens)) as llama:
        llama.tune(lambda: llama.prefill(tokens) + llama.decode([tokens], plan.decode))
        yield llama, llama.version


def _conditions(
    model: str, options: Options, plan: Plan, peer_version: str | None
) -> dict[str, object]:
    from importlib.metadata import version

    from headrace.machine import probe_host

    found: dict[str, object] = {
        "model": model,
        "weights": options.weights,
        "kv": options.kv,
        "isa": options.isa or "all that the machine has",
        "threads": options.workers,
        "repetitions": plan.repetitions,
        "machine": probe_host().model,
        "headrace": version("headrace"),
    }
    return found if peer_version is None else {**found, "llama-cpp-python": peer_version}
