"""Pieces of grammars in llguidance's dialect of Lark.

Its syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Any text; special tokens are not text.
ANYTHING = r"/(.|\n)*/"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a marker: text, or one special token."""

    text: str
    token: int | None = None

    @property
    def rule(self) -> str:
        """As a rule has it."""
        if self.token is not None:
            return f"<[{self.token}]>"
        return json.dumps(self.text, ensure_ascii=False)


def parts(marker: str, specials: Mapping[str, int]) -> list[Part]:
    """A marker's text and special tokens, in order.

    specials: id of each special token by its text.
    """
    longest_first = sorted(filter(None, specials), key=len, reverse=True)
    if not longest_first:
        return [Part(marker)] if marker else []
    pieces = re.split(f"({'|'.join(map(re.escape, longest_first))})", marker)
    return [Part(piece, specials.get(piece)) for piece in pieces if piece]


def sequence(pieces: Sequence[Part]) -> str:
    """Parts one after the other, as a rule has them."""
    return " ".join(piece.rule for piece in pieces)


def text_until(name: str, pieces: Sequence[Part]) -> tuple[list[str], list[Part]]:
    """Rules of `name`: any text up to a marker, and that; and the parts of it that are left.

    The marker begins with its first special token, or, if it has none, with its text less white
    space around it: what a model puts before it is text.
    """
    at = next((index for index, piece in enumerate(pieces) if piece.token is not None), None)
    if at is not None:
        return [f"{name}: {ANYTHING} {pieces[at].rule}"], list(pieces[at + 1 :])
    text = "".join(piece.text for piece in pieces).lstrip()
    marker = text.rstrip()
    rest = [Part(text[len(marker) :])] if len(text) > len(marker) else []
    return [f"{name}[lazy]: {ANYTHING} {Part(marker).rule}"], rest
