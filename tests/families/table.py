"""The README's table of families, from the definition of the matrix.

`python -m tests.families.table` writes it; a test checks that it is written.
"""

from __future__ import annotations

from pathlib import Path

from tests.families.catalogue import FAMILIES

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- families: python -m tests.families.table -->", "<!-- end of families -->"


def table() -> str:
    rows = [f"| {each.title} | `{each.kind}` | {each.shows} |" for each in FAMILIES]
    return "\n".join(["| family | in transformers | tested with |", "|---|---|---|", *rows])


def with_table(text: str) -> str:
    """A text with the table between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
