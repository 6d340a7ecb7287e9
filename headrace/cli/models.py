"""`headrace pull`, `ls` and `rm`: the models in the cache."""

from __future__ import annotations

from typing import Annotated

from cyclopts import ArgumentCollection, Group, Parameter

from headrace.cli.console import byte_count, note, terminal_progress


def _require_any(given: ArgumentCollection) -> None:
    if not any(argument.tokens for argument in given):
        raise ValueError("give a model, or --stale")


DOOMED = Group("What to remove", validator=_require_any)


def pull(model: str, /) -> None:
    """Fetch a model into the cache; nothing is loaded or compiled.

    Args:
        model: An alias (smollm2), a hub id [hf:]owner/name[@revision][:file.gguf], or
            random:SHAPE@FORMAT.
    """
    from headrace.checkpoint.source import resolve

    print(resolve(model, terminal_progress()).path)


def ls() -> None:
    """List the models in the cache: size, format, compiled programs and packed weights."""
    from headrace import cache
    from headrace.build.entries import artifact_bytes, list_artifacts, packed_bytes, stale
    from headrace.checkpoint.store import list_models

    fetched = {each.name: each.bytes for each in list_models()}
    programs: dict[str, list[int]] = {}
    packed: dict[str, set[str]] = {}
    for artifact in list_artifacts():
        source = artifact.about.source
        programs.setdefault(source, []).append(artifact_bytes(artifact))
        packed.setdefault(source, set()).add(artifact.about.packed)
    rows = [("MODEL", "FILES", "FORMAT", "PROGRAMS", "PACKED WEIGHTS")]
    for name in sorted({*fetched, *programs}):
        weights = sum(map(packed_bytes, packed.get(name, ())))
        compiled = programs.get(name, [])
        shown = f"{len(compiled)} ({byte_count(sum(compiled))})" if compiled else "-"
        packed_size = byte_count(weights) if weights else "-"
        rows.append((name, *_contents(name, fetched.get(name)), shown, packed_size))
    useless = stale()
    if useless.bytes:
        note(f"{byte_count(useless.bytes)} are of no use any more; headrace rm --stale frees them")
    if len(rows) == 1:
        note(f"no models in {cache.root()}; headrace pull smollm2 fetches one")
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _contents(name: str, fetched: int | None) -> tuple[str, str]:
    """Size of a model's files, and the format of most of its bytes."""
    from headrace.checkpoint.source import find
    from headrace.checkpoint.summary import summarise
    from headrace.errors import HeadraceError

    try:
        summary = summarise(find(name))
    except HeadraceError:  # a list must not end at one damaged model; show tells what is wrong
        return ("-", "-") if fetched is None else (byte_count(fetched), "?")
    size = summary.bytes if fetched is None else fetched
    return byte_count(size), summary.shares[0].format if summary.shares else "-"


def rm(
    *models: Annotated[str, Parameter(group=DOOMED)],
    stale: Annotated[bool, Parameter(group=DOOMED, negative="")] = False,
) -> None:
    """Remove models from the cache, with what was compiled and packed of them.

    Of a file or directory elsewhere only the compiled and packed parts go.

    Args:
        models: Names as `headrace ls` shows them.
        stale: Remove programs that another version of headrace compiled, and packed weights
            that no program uses.
    """
    for name in models:
        _remove(name)
    if stale:
        _remove_stale()


def _remove_stale() -> None:
    from headrace.build.entries import remove_stale

    print(f"removed what is of no use any more: {byte_count(remove_stale().bytes)} freed")


def _remove(name: str) -> None:
    from headrace.build.entries import remove_artifacts
    from headrace.checkpoint.hub_name import canonical_name
    from headrace.checkpoint.store import list_models, remove

    name = canonical_name(name)
    freed = remove_artifacts(name)
    size = freed.bytes
    if not freed.programs or any(each.name == name for each in list_models()):
        size += remove(name).bytes
    print(f"removed {name}: {byte_count(size)} freed")
