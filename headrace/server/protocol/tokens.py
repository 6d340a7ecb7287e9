"""`/tokenize` and `/detokenize`, as vLLM and llama-server have them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headrace.server.protocol.base import MOST_TOKENS, Body, Name, Plain, Shown, Text, TokenId
from headrace.server.protocol.messages import Messages
from headrace.server.protocol.tools import Tools


class TokenizeRequest(Body):
    """A text (`prompt`, or `content` as llama-server calls it), or a conversation.

    Without `model`, the only model there is.
    """

    model: Name | None = None
    prompt: Text | None = None
    content: Text | None = None
    messages: Messages | None = None
    tools: Tools | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None
    chat_template_kwargs: Plain | None = None


class Tokenized(Shown):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(Body):
    model: Name | None = None
    tokens: Annotated[list[TokenId], Field(max_length=MOST_TOKENS)]


class Detokenized(Shown):
    """The text, under vLLM's name and llama-server's."""

    prompt: str
    content: str
