"""Reasoning, split off from the answer where the model's template marks it."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.server.stops import held_back


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands before and after reasoning."""

    opening: str
    closing: str


#: Marks that templates are searched for, in this order.
MARKS = (
    Marks("<think>", "</think>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("<seed:think>", "</seed:think>"),
    Marks("<thinking>", "</thinking>"),
    Marks("<reasoning>", "</reasoning>"),
    Marks("<|begin_of_thought|>", "<|end_of_thought|>"),
    Marks("<|channel>thought\n", "<channel|>"),
    Marks("<unused94>thought\n", "<unused95>"),
)


def marks_of(template: str) -> Marks | None:
    """The marks that a chat template's source has."""
    source = template.replace("\\n", "\n")
    found = (each for each in MARKS if each.opening in source and each.closing in source)
    return next(found, None)


class ReasoningSplit:
    """Splits an answer that comes in pieces into reasoning and the rest.

    Args:
        marks: None gives everything as the rest.
        inside: the prompt itself ended with the opening mark.
    """

    def __init__(self, marks: Marks | None, *, inside: bool = False) -> None:
        self._marks = marks
        self._state = "after" if marks is None else "inside" if inside else "before"
        self._held = ""
        self._begun = False

    @property
    def marked(self) -> bool:
        """Whether there may be reasoning at all."""
        return self._marks is not None

    @property
    def inside(self) -> bool:
        """Whether what comes next is reasoning."""
        return self._state == "inside"

    def push(self, text: str) -> tuple[str, str]:
        """Reasoning, and what is none, that this piece completes."""
        if self._marks is None:
            return "", text
        self._held += text
        if self._state == "before":
            self._look_for_opening(self._marks)
        reasoning = self._reasoning(self._marks) if self._state == "inside" else ""
        return reasoning, self._rest() if self._state == "after" else ""

    def flush(self) -> tuple[str, str]:
        """What was held back; the answer is at its end."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "inside" else ("", held)

    def _look_for_opening(self, marks: Marks) -> None:
        start = self._held.lstrip()
        if start.startswith(marks.opening):
            self._state, self._held = "inside", start.removeprefix(marks.opening)
        elif start and not marks.opening.startswith(start):
            self._state, self._begun = "after", True

    def _reasoning(self, marks: Marks) -> str:
        before, closing, after = self._held.partition(marks.closing)
        if closing:
            self._state, self._held = "after", after
            reasoning, self._begun = self._opened(before), False
            return reasoning
        certain = len(self._held) - held_back(self._held, (marks.closing,))
        given, self._held = self._held[:certain], self._held[certain:]
        return self._opened(given)

    def _opened(self, reasoning: str) -> str:
        """Reasoning without the line break after its opening mark."""
        if self._begun or not reasoning:
            return reasoning
        self._begun = True
        return reasoning.removeprefix("\n")

    def _rest(self) -> str:
        """What follows, without the white space between reasoning and answer."""
        text = self._held if self._begun else self._held.lstrip()
        self._held, self._begun = "", self._begun or bool(text)
        return text
