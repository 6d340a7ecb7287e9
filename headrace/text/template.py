"""Chat templates, rendered in a sandbox: a process of its own, with budgets (`renderer`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.errors import TemplateError
from headrace.text.render_process import HINT, MEMORY, SHARED, too_much_memory

Message = Mapping[str, Any]

FUEL = 5_000_000  # instructions; a long conversation takes thousands
LONGEST = 16 << 20  # characters of a rendered conversation
# transformers' own block, which marks the answers for training and prints as it stands.
GENERATION_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
PRIVATE = re.compile(r"\.\s*(_\w*)")
PRIVATE_KEY = re.compile(r"(?:\[|\battr\s*\(|\bmap\s*\(\s*attribute\s*=)\s*['\"](__\w*)")


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template's source, and the special tokens that it knows by name."""

    source: str
    special_tokens: Mapping[str, str]

    @staticmethod
    def of(source: str | None, special_tokens: Mapping[str, str]) -> ChatTemplate:
        """The template, if there is one.

        Raises:
            TemplateError: there is none.
        """
        if source is None:
            raise TemplateError(
                "the model has no chat template",
                hint="--raw gives it the prompt as it stands, without a conversation around it",
            )
        return ChatTemplate(source, special_tokens)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> str:
        """The conversation as the model was trained to read it.

        Args:
            messages: {"role": ..., "content": ...} each, oldest first; JSON values only.
            add_generation_prompt: end with the opening of the assistant's turn.
            variables: what else the template may use, such as `tools` or `enable_thinking`.

        Raises:
            TemplateError: the template is malformed, reaches for what is private, refuses the
                messages, or exceeds its budget of steps, time, memory or text.
        """
        _refuse_private(self.source)
        values = {
            "tools": None,
            "documents": None,
            **self.special_tokens,
            **variables,
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
        }
        source = GENERATION_TAG.sub(_as_condition, self.source)
        request = {"source": source, "values": values, "fuel": FUEL, "longest": LONGEST}
        reply = SHARED.ask(request)
        if "text" not in reply:
            raise _typed(reply)
        return reply["text"]


def _refuse_private(source: str) -> None:
    """No template has business with names that start with an underscore."""
    for code in CODE.finditer(COMMENT.sub("", source)):
        keys = PRIVATE_KEY.search(code[0])
        found = keys or PRIVATE.search(LITERAL.sub("''", code[0]))
        if found is not None:
            raise TemplateError(
                f"the template reaches for '{found[1]}', which is private",
                where="chat template",
                hint=HINT,
            )


def _typed(reply: Mapping[str, Any]) -> TemplateError:
    line = reply["line"]
    where = "chat template" if line is None else f"chat template, line {line}"
    kind = reply["kind"]
    if kind == "OutOfFuel":
        return TemplateError(f"the template takes more than {FUEL} steps", where=where, hint=HINT)
    if kind == "TooLong":
        what = f"the template writes more than {LONGEST} characters"
        return TemplateError(what, where=where, hint=HINT)
    if kind == "MemoryError":
        return too_much_memory(MEMORY)
    return TemplateError(f"the template fails: {reply['message']}", where=where, hint=HINT)


def _as_condition(tag: re.Match[str]) -> str:
    return f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}"
