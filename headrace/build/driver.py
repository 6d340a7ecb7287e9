"""Compile a model, or find it compiled. A warm start comes through here: heavy imports wait."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import cache
from headrace.build.artifact import Artifact
from headrace.build.key import program_key, toolchain
from headrace.build.options import Options
from headrace.checkpoint.progress import NoProgress, Progress, step
from headrace.checkpoint.source import Source, fingerprint, open_checkpoint, resolve
from headrace.codegen.target import Target

if TYPE_CHECKING:
    from headrace.checkpoint.tensors import StoredTensor


def build(source: str | Path, options: Options, progress: Progress | None = None) -> Artifact:
    """The artifact of a model, with its packed weights; made if the cache has it not.

    Of several processes that want the same one, one works and the others wait.

    Args:
        source: as `headrace.checkpoint.source.resolve` takes it.

    Raises:
        HeadraceError: the model cannot be found, read, captured or compiled, or the cache cannot
            be written. Nothing half-made remains.
    """
    report = progress if progress is not None else NoProgress()
    found = resolve(source, report)
    content = fingerprint(found)
    entry = cache.programs() / program_key(content, options, Target.host(options.isa))
    artifact = make_once(entry, lambda: _compile(found, content, options, entry, report), report)
    pack_once(artifact, lambda: _stored_weights(found, artifact), report)
    return artifact


def make_once(entry: Path, make: Callable[[], None], report: Progress) -> Artifact:
    """The artifact at `entry`; `make` writes it unless it is there or another process does so."""
    if not entry.exists():
        with _locked(entry, report):
            if not entry.exists():
                make()
    return Artifact(entry)


@dataclass(frozen=True, slots=True)
class WeightsOf:
    """A model's stored tensors by their names in the program.

    Attributes:
        release: lets go of the memory that reading them took.
    """

    tensor: Callable[[str], StoredTensor]
    release: Callable[[], None] | None = None


def pack_once(artifact: Artifact, weights: Callable[[], WeightsOf], report: Progress) -> None:
    """Write the packed weights unless they are there or another process does so."""
    if artifact.packed.exists():
        return
    with _locked(artifact.packed, report):
        if not artifact.packed.exists():
            from headrace.runtime.pack import pack

            found = weights()
            pack(artifact.manifest, found.tensor, artifact.packed, report, found.release)


def _compile(source: Source, content: str, options: Options, entry: Path, report: Progress) -> None:
    from headrace.build import apart
    from headrace.build.entries import remove_superseded
    from headrace.build.order import Order

    path = str(source.path.resolve())
    name = source.name if source.path.is_relative_to(cache.models()) else path
    order = Order(name, path, content, toolchain(), options, Target.host(options.isa))
    if apart.pays():
        apart.compile_apart(source, order, entry, report)
    else:
        from headrace.build.compiler import compile_checkpoint

        compile_checkpoint(source, order, entry, report)
    remove_superseded(Artifact(entry))


def _stored_weights(source: Source, artifact: Artifact) -> WeightsOf:
    from headrace.checkpoint.binding import bind

    checkpoint = open_checkpoint(source)
    bindings = artifact.about.bindings
    return WeightsOf(lambda name: bind(checkpoint, bindings[name]), checkpoint.release)


@contextmanager
def _locked(entry: Path, report: Progress) -> Generator[None]:
    """Hold the lock of a cache entry; while another process holds it, say so."""
    with ExitStack() as waiting:
        label = "waiting for another headrace that compiles this model"
        told = step(report, label, None)
        with cache.entry_lock(entry, lambda: waiting.enter_context(told)):
            waiting.close()
            yield
