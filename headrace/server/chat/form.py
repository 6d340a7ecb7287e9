"""What a chat template can do, read off its source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from headrace.server.reasoning import Marks, marks_of
from headrace.server.tools.formats import HERMES, ToolFormat, format_of
from headrace.text.template import CODE

TOOLS = re.compile(r"\btools\b")
NO_SYSTEM = re.compile(r"raise_exception\(\s*['\"][^'\"]*system role not", re.IGNORECASE)
SHORT_IDS = re.compile(r"length\s*!=\s*9")
CALLS = re.compile(r"\btool_calls\b")


@dataclass(frozen=True, slots=True)
class ChatForm:
    """How conversations are written for a model, and how its answers are read.

    Attributes:
        native_tools: the template itself writes tools, calls and results; otherwise they are
            described in the system message.
        developer: the template knows the role developer.
        systemless: it refuses messages of the system. short_ids: it wants ids of nine letters.
        switched: the template has a switch for reasoning: unless it is off, answers have it.
    """

    tools: ToolFormat
    native_tools: bool
    reasoning: Marks | None
    developer: bool
    systemless: bool
    short_ids: bool
    switched: bool


@lru_cache(maxsize=256)
def form_of(source: str) -> ChatForm:
    """The form of a template, by its source."""
    code = "".join(CODE.findall(source))
    found = format_of(source.replace('\\"', '"'))
    native = found is not None and bool(TOOLS.search(code)) and bool(CALLS.search(code))
    return ChatForm(
        tools=found if found is not None and native else HERMES,
        native_tools=native,
        reasoning=marks_of(source),
        developer="developer" in code,
        systemless=bool(NO_SYSTEM.search(code)),
        short_ids=bool(SHORT_IDS.search(code)),
        switched="enable_thinking" in code,
    )
