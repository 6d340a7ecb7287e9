"""Where a JSON object ends, in text that comes in pieces."""

from __future__ import annotations

import re

_INSIDE_STRING = re.compile(r'["\\]')
_OUTSIDE = re.compile(r'["{}\[\]]')


class ObjectScan:
    """Follows brackets and strings; the first character fed opens the object.

    Args:
        depth: brackets that are open before it.
    """

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._string = False
        self._escaped = False

    def feed(self, text: str) -> int | None:
        """The index after the object's last character; None if it goes on."""
        at = 0
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_INSIDE_STRING if self._string else _OUTSIDE).search(text, at)
            if found is None:
                return None
            at = found.end()
            if self._closes(found[0]):
                return at
        return None

    def _closes(self, letter: str) -> bool:
        if letter == "\\":
            self._escaped = True
        elif letter == '"':
            self._string = not self._string
        else:
            self._depth += 1 if letter in "{[" else -1
        return self._depth == 0 and letter in "}]"
