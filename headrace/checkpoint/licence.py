"""The licence that a model's own files name."""

from __future__ import annotations

import re
from pathlib import Path

_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)
_LONGEST = 100
_MOST_BYTES = 1 << 16


def read_licence(directory: Path) -> str | None:
    """What a directory's model card says in its head, else the first line of its LICENSE file."""
    card = _FRONT_MATTER.match(_text(directory / "README.md"))
    if card is not None:
        named = _value(card[1], "license")
        own = _value(card[1], "license_name")
        if named is not None:
            return own if named == "other" and own is not None else named
    for path in sorted(directory.glob("LICENSE*")):
        lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
        if lines:
            return printable(lines[0])
    return None


def printable(text: str) -> str:
    """One line of a file that nobody vouches for, without control characters."""
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST]


def _value(head: str, key: str) -> str | None:
    """A plain value of YAML, or the first of a list."""
    match = re.search(rf"^{key}:[ \t]*(?:\n[ \t]*-[ \t]*)?(\S.*)$", head, re.MULTILINE)
    return None if match is None else printable(match[1].strip().strip("\"'"))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
