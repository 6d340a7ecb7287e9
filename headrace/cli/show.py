"""`headrace show`: what a model is, where it came from, and what was made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.cli.console import byte_count, three_digits
from headrace.cli.tables import table_console

if TYPE_CHECKING:
    from rich.table import Table

    from headrace.checkpoint.source import Source
    from headrace.checkpoint.summary import Summary

UNSAID = "the files do not say"


def show(model: str, /) -> None:
    """Show what a model is; nothing is fetched, loaded or compiled.

    Args:
        model: A name as `headrace ls` shows it, a GGUF file or a model directory.
    """
    from headrace.checkpoint.source import find
    from headrace.checkpoint.summary import summarise

    source = find(model)
    summary, console = summarise(source), table_console()
    console.print(_grid(_facts(source, summary)))
    console.print(_formats(summary))
    console.print(_grid(_made(source)))


def _grid(rows: Iterator[tuple[str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        # Values come from files that nobody vouches for: text, not markup.
        table.add_row(Text(name, "bold"), Text(value, overflow="fold"))
    return table


def _facts(source: Source, summary: Summary) -> Iterator[tuple[str, str]]:
    yield "model", source.name
    yield "source", _source(source)
    yield "path", str(source.path.resolve())
    yield "architecture", summary.architecture or UNSAID
    yield "parameters", count(summary.parameters)
    context = summary.context
    yield "context length", UNSAID if context is None else f"{context} tokens"
    yield "licence", summary.licence or UNSAID
    bits = 8 * summary.bytes / max(summary.parameters, 1)
    yield "size", f"{byte_count(summary.bytes)}, {bits:.3g} bits a parameter"


def _source(source: Source) -> str:
    from headrace.checkpoint.aliases import ALIASES
    from headrace.checkpoint.origin import noted_directory, read_origin
    from headrace.checkpoint.random_model import PREFIX

    directory = noted_directory(source.path)
    origin = None if directory is None else read_origin(directory)
    if origin is not None:
        revision = "" if origin.revision is None else f", revision {origin.revision}"
        return f"hub repository {origin.repository}{revision}, commit {origin.commit}"
    if source.name in ALIASES:
        parts = ALIASES[source.name].parts
        return "packages " + ", ".join(f"{each.package} {each.version}" for each in parts)
    if source.name.startswith(PREFIX):
        return "random weights, generated"
    return "a GGUF file" if source.kind == "gguf" else "a model directory"


def _formats(summary: Summary) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("storage format")
    for title in ("tensors", "parameters", "bytes"):
        table.add_column(title, justify="right")
    for each in summary.shares:
        table.add_row(
            each.format, str(each.tensors), count(each.parameters), byte_count(each.bytes)
        )
    return table


def _made(source: Source) -> Iterator[tuple[str, str]]:
    from headrace.build.artifact import packed_path
    from headrace.build.entries import artifact_bytes, list_artifacts, packed_bytes
    from headrace.build.key import toolchain

    names = (source.name, str(source.path.resolve()))
    made = [each for each in list_artifacts() if each.about.source in names]
    for each in sorted(made, key=lambda artifact: (artifact.about.workers, artifact.key)):
        about = each.about
        stale = "" if about.toolchain == toolchain() else ", by another headrace"
        size = byte_count(artifact_bytes(each))
        yield "compiled", f"for {about.workers} workers, weights {about.weights}, {size}{stale}"
        yield "", str(each.path)
    for key in sorted({each.about.packed for each in made}):
        if size := packed_bytes(key):
            yield "packed", byte_count(size)
            yield "", str(packed_path(key))
    if not made:
        yield "compiled", "not yet"


def count(number: int) -> str:
    """A number of parameters in three digits: 135 M."""
    return three_digits(number, ("", "k", "M", "B", "T"))
