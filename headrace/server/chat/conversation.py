"""A conversation, from its messages to the tokens of a prompt and how the answer is read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from headrace.engine.choice.choice import Grammar
from headrace.errors import RequestError, TemplateError
from headrace.server.chat.constrain import answer_grammar
from headrace.server.chat.form import ChatForm, form_of
from headrace.server.chat.history import template_messages
from headrace.server.chat.use import NO_TOOLS, ToolUse
from headrace.server.protocol.messages import Message
from headrace.server.reasoning import ReasoningSplit
from headrace.server.streaming.answer import Reading
from headrace.server.tools.split import CallSplit
from headrace.text import Tokenizer

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is asked of a model, in the form in which all routes ask."""

    messages: Sequence[Message]
    use: ToolUse = NO_TOOLS
    grammar: Grammar | None = None
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads, and how what it writes is read.

    Attributes:
        grammar: what the answer must be.
    """

    tokens: list[int]
    reading: Reading
    grammar: Grammar | None
    form: ChatForm


def effort_variables(effort: str | None) -> Plain:
    """A template's variables for how hard to think."""
    if effort is None:
        return {}
    return {"reasoning_effort": effort, "enable_thinking": effort not in ("none", "minimal")}


async def prompt_of(tokenizer: Tokenizer, conversation: Conversation) -> Prompt:
    """The prompt of a conversation; rendered and encoded beside the event loop.

    Raises:
        TemplateError: the model has no template, or it refuses these messages.
        RequestError: a message cannot be written.
    """
    return await asyncio.to_thread(_prompt, tokenizer, conversation)


def warm(tokenizer: Tokenizer) -> None:
    """Start the process that renders templates: the first conversation need not wait for it.

    A template that refuses so short a conversation says so to whoever brings a real one.
    """
    if tokenizer.has_chat_template:
        with suppress(TemplateError):
            tokenizer.chat_template.render([{"role": "user", "content": "Hi"}])


def _prompt(tokenizer: Tokenizer, conversation: Conversation) -> Prompt:
    template = tokenizer.chat_template
    form = form_of(template.source)
    tools = list(conversation.use.tools)
    messages = template_messages(conversation.messages, form, tools)
    if not messages:
        raise RequestError("there are no messages", where="messages")
    variables: Plain = dict(conversation.variables)
    if tools and form.native_tools:
        variables["tools"] = tools
    text = template.render(messages, **variables)
    inside = form.reasoning is not None and text.rstrip().endswith(form.reasoning.opening)
    return Prompt(
        tokens=tokenizer.encode(text, special=True, bos=False),
        reading=_reading(tokenizer, form, conversation, inside=inside),
        grammar=answer_grammar(
            form, conversation.use, conversation.grammar, text, tokenizer.specials
        ),
        form=form,
    )


def _reading(
    tokenizer: Tokenizer, form: ChatForm, conversation: Conversation, *, inside: bool
) -> Reading:
    marks = form.reasoning
    keep = () if marks is None else (marks.opening, marks.closing)
    names = frozenset(tool["function"]["name"] for tool in conversation.use.tools)
    if names:
        keep = (*keep, *form.tools.literals)
    return Reading(
        text=partial(tokenizer.stream, keep=keep),
        reasoning=partial(ReasoningSplit, marks, inside=inside),
        calls=partial(CallSplit, form.tools, names) if names else None,
        stops=conversation.stops,
    )
