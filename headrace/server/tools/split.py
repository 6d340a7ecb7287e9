"""Calls of functions, found in an answer that comes in pieces, by the table of formats."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any, cast

from headrace.server.stops import held_back
from headrace.server.tools.formats import ToolFormat
from headrace.server.tools.scan import ObjectScan

LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a call: the first has id and name, each the arguments' next characters."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


Piece = str | CallDelta


def call_id() -> str:
    """A fresh id: nine letters and digits, as Mistral's templates want them."""
    return "".join(secrets.choice(LETTERS) for _ in range(9))


class CallSplit:
    """Splits an answer into text and calls.

    What looks like a call but is malformed, or calls what there is not, comes out as text.
    """

    def __init__(self, form: ToolFormat, names: Container[str]) -> None:
        self._form = form
        self._names = names
        self._header = _header(form)
        self._held = ""
        self._space = ""
        self._begun = False
        self._step = self._text
        self._scan = ObjectScan()
        self.calls = 0

    def push(self, text: str) -> list[Piece]:
        """What this piece of the answer completes."""
        self._held += text
        pieces: list[Piece] = []
        while True:
            step, before = self._step, self._held
            pieces.extend(step())
            if step == self._step and before == self._held:
                return pieces

    def flush(self) -> list[Piece]:
        """What was held back, as text; the answer is at its end."""
        held, self._held = self._held, ""
        unfinished = self._step == self._body
        text = self._opened() + held if unfinished else held
        return [text] if text.strip() and self._step != self._arguments else []

    def _text(self) -> Iterator[Piece]:
        opening = self._form.opening
        if not opening:
            yield from self._json_or_text()
            return
        before, found, after = self._held.partition(opening)
        if found:
            text = before.rstrip()
            self._space = before[len(text) :]
            self._held, self._step = after, self._body
            if text:
                yield text
            return
        certain = len(self._held) - held_back(self._held, (opening,))
        text = self._held[:certain].rstrip()  # white space may stand before a call
        self._held = self._held[len(text) :]
        if text:
            yield text

    def _json_or_text(self) -> Iterator[Piece]:
        """A format without an opening: an answer that begins with a JSON object is a call."""
        start = self._held.lstrip()
        if not self._begun and not start:
            return
        if not self._begun and start.startswith("{"):
            self._held, self._step = start, self._body
        else:
            text, self._held = self._held, ""
            if text:
                yield text
        self._begun = True

    def _body(self) -> Iterator[Piece]:
        found = self._header.match(self._held)
        if found is not None and self._held[found.end() :].startswith("{"):
            name = self._name(found[1])
            if name is not None:
                self._held = self._held[found.end() :]
                self._step, self._scan = self._arguments, ObjectScan()
                yield CallDelta(self.calls, "", call_id(), name)
                return
        yield from self._whole()

    def _whole(self) -> Iterator[Piece]:
        """A body whose keys stand in another order, or that is none, once it is complete."""
        start = self._held.find("{")
        if start < 0 or (end := ObjectScan().feed(self._held[start:])) is None:
            return
        text, self._held = self._held[: start + end], self._held[start + end :]
        call = _read(text[start:], self._form)
        if call is None or call[0] not in self._names:
            self._step = self._text
            yield self._opened() + text
            return
        self._step = self._after
        yield CallDelta(self.calls, call[1], call_id(), call[0])
        self.calls += 1

    def _arguments(self) -> Iterator[Piece]:
        if not self._held:
            return
        end = self._scan.feed(self._held)
        given, self._held = self._held[:end], self._held[len(self._held) if end is None else end :]
        yield CallDelta(self.calls, given)
        if end is not None:
            self.calls += 1
            self._scan = ObjectScan(depth=1)
            self._step = self._after if self._form.named else self._rest

    def _rest(self) -> Iterator[Piece]:
        """Up to the brace that closes the call; other keys say nothing that is needed."""
        end = self._scan.feed(self._held)
        self._held = "" if end is None else self._held[end:]
        if end is not None:
            self._step = self._after
        yield from ()

    def _after(self) -> Iterator[Piece]:
        """Between calls, or after the last."""
        form = self._form
        closings = (*form.closings, ",", ";")
        opening = form.call_opening or "{"
        begins = bool(form.call_opening or form.syntax.is_list or not form.opening)
        held = self._held.lstrip()
        if not held or any(each.startswith(held) for each in (*closings, opening) if each != held):
            self._held = held
        elif closing := next((each for each in closings if held.startswith(each)), None):
            self._held = held.removeprefix(closing)
        elif begins and held.startswith(opening):
            self._held, self._step = held.removeprefix(form.call_opening), self._body
        else:
            self._step, self._begun = self._text, True
        yield from ()

    def _name(self, text: str) -> str | None:
        name = json.loads(text) if text.startswith('"') else text
        return name if name in self._names else None

    def _opened(self) -> str:
        """What stood before a body, should it turn out to be none."""
        space, self._space = self._space, ""
        return space + self._form.opening


def _header(form: ToolFormat) -> re.Pattern[str]:
    """A body up to its arguments; the first call's own opening comes behind that of all calls."""
    lead = r"\s*\[?\s*" if form.syntax.is_list else r"\s*"
    if form.syntax.opening and form.call_opening:
        lead += rf"(?:{re.escape(form.call_opening)})?\s*"
    if form.named:
        return re.compile(lead + r"([^\s\"{}]+?)\s*" + re.escape(form.name_end) + r"\s*")
    text = r'("(?:[^"\\]|\\.)*")'
    name, arguments = re.escape(form.syntax.name_key), re.escape(form.syntax.arguments_key)
    return re.compile(lead + rf'\{{\s*"{name}"\s*:\s*{text}\s*,\s*"{arguments}"\s*:\s*')


def _read(text: str, form: ToolFormat) -> tuple[str, str] | None:
    """Name and arguments of a whole call."""
    try:
        value: object = json.loads(text)
    except ValueError:
        return None
    call = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    name, arguments = call.get(form.syntax.name_key), call.get(form.syntax.arguments_key)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return name, json.dumps(arguments, ensure_ascii=False)
