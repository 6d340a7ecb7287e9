"""What an answer must be, as one grammar: reasoning first, then calls of tools or a given form."""

from __future__ import annotations

from headrace.engine.choice.choice import Grammar
from headrace.server.chat.form import ChatForm


def answer_grammar(
    form: ChatForm, use: object, wanted: Grammar | None, *, inside: bool
) -> Grammar | None:
    return wanted
