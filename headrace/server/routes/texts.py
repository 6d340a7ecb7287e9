"""Prompts as requests bring them: a text, tokens, or several of either."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from headrace.text import Tokenizer

Prompts = str | list[int] | list[str] | list[list[int]]


async def token_lists(tokenizer: Tokenizer, prompts: Prompts) -> list[list[int]]:
    """The tokens of each prompt; texts are encoded beside the event loop.

    Short ones too: the tokenizer may be busy with a long one.
    """
    several = _several(prompts)
    if not any(isinstance(each, str) for each in several):
        return _encoded(tokenizer, several)
    return await asyncio.to_thread(_encoded, tokenizer, several)


async def texts_of(tokenizer: Tokenizer, prompts: Sequence[Sequence[int]]) -> list[str]:
    """The text of each prompt; decoded beside the event loop."""
    return await asyncio.to_thread(lambda: [tokenizer.decode(each) for each in prompts])


def _several(prompts: Prompts) -> Sequence[str | list[int]]:
    if isinstance(prompts, str) or (prompts and isinstance(prompts[0], int)):
        return [cast("str | list[int]", prompts)]
    return cast("list[str | list[int]]", prompts)


def _encoded(tokenizer: Tokenizer, prompts: Sequence[str | list[int]]) -> list[list[int]]:
    return [tokenizer.encode(each) if isinstance(each, str) else each for each in prompts]
