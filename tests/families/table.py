"""The tables of families in README.md and docs/families.md, from the definitions of the tests.

`python -m tests.families.table` writes them; a test checks that they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.families.catalogue import FAMILIES
from tests.families.others import REFUSED, WORKING

ROOT = Path(__file__).parents[2]
END = "<!-- end of table -->"


def tables() -> Mapping[str, str]:
    """The tables by the names in their marks."""
    return {
        "families": _table(
            ("family", "in transformers", "tested with"),
            ((each.title, f"`{each.kind}`", each.shows) for each in FAMILIES),
        ),
        "working": _table(
            ("in transformers", "tested with"), ((f"`{each.kind}`", each.shows) for each in WORKING)
        ),
        "refused": _table(
            ("in transformers", "what cannot be lowered"),
            ((f"`{each.family.kind}`", each.why) for each in REFUSED),
        ),
    }


def documents() -> Mapping[Path, tuple[str, ...]]:
    """Files, and the tables that are in them."""
    return {
        ROOT / "README.md": ("families",),
        ROOT / "docs" / "families.md": ("working", "refused"),
    }


def with_tables(text: str, names: Iterable[str]) -> str:
    """A text with tables between their marks.

    Raises:
        ValueError: it lacks a mark.
    """
    for name in names:
        start = f"<!-- table of {name}: python -m tests.families.table -->"
        before, rest = text.split(start)
        _, after = rest.split(END, 1)
        text = f"{before}{start}\n\n{tables()[name]}\n\n{END}{after}"
    return text


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    for path, names in documents().items():
        path.write_text(with_tables(path.read_text("utf-8"), names), "utf-8")
