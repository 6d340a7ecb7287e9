"""Strings that end an answer, found in text that comes in pieces."""

from __future__ import annotations

from collections.abc import Sequence


def held_back(text: str, needles: Sequence[str]) -> int:
    """Characters at the end of a text that may begin one of these strings."""
    longest = max(map(len, needles), default=0) - 1
    tail = text[-longest:] if longest > 0 else ""
    for start in range(len(tail)):
        rest = tail[start:]
        if any(needle.startswith(rest) for needle in needles):
            return len(rest)
    return 0


class StopStrings:
    """Cuts a text before the first of some strings; gives nothing out that may begin one.

    Attributes:
        met: whether one was found; then nothing more comes out.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held: str = ""
        self.met = False

    def push(self, text: str) -> str:
        """What is certain not to be a part of a stop string."""
        if not self._stops or self.met:
            return "" if self.met else text
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.met, self._held = True, ""
            return text[: min(found)]
        certain = len(text) - held_back(text, self._stops)
        self._held = text[certain:]
        return text[:certain]

    def flush(self) -> str:
        """What was held back; the text is at its end."""
        held, self._held = self._held, ""
        return held
