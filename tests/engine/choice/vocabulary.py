"""A tokenizer of 600 tokens with special ones, and how grammars take texts in its tokens."""

from __future__ import annotations

from functools import cache

import numpy as np

from headrace.engine.choice.choice import Grammar
from headrace.engine.choice.grammars import Grammars
from headrace.engine.choice.matcher import Matcher
from headrace.text import Tokenizer
from tests.text.vocabularies import byte_level_metadata

PADDED = 640  # logits: the model's are wider than the vocabulary
STOP = "<|im_end|>"
MARKER = "<|im_start|>"


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_gguf(byte_level_metadata())


@cache
def grammars() -> Grammars:
    return Grammars(tokenizer(), PADDED)


def follow(grammar: Grammar, text: str) -> tuple[Matcher, str]:
    """How far a grammar takes a text: the matcher there, and what is left of it."""
    matcher = grammars().matcher(grammar)
    ids = tokenizer().encode(text, special=True, bos=False)
    for at, token in enumerate(ids):
        if not matcher.allowed()[token]:
            return matcher, tokenizer().decode(ids[at:], special=True)
        matcher.take(token)
    return matcher, ""


def takes(grammar: Grammar, text: str) -> bool:
    """Whether a text is an answer under a grammar."""
    matcher, left = follow(grammar, text)
    return not left and matcher.accepting


def next_texts(matcher: Matcher) -> set[str]:
    return {
        tokenizer().decode([int(token)], special=True)
        for token in np.flatnonzero(matcher.allowed())
    }
