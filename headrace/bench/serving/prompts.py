"""Prompts as text, of so many tokens each: load generators send text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.errors import RequestError

if TYPE_CHECKING:
    from headrace.text import Tokenizer

_FEWEST_LETTERS = 4
_MOST_WORDS = 2000
_STRIDE = 389  # prime to any number of words that is no multiple of it


class TextPrompts:
    """Sequences of common words, each one token; those of different numbers differ early.

    Raises:
        RequestError: the tokenizer has too few such words.
    """

    def __init__(self, tokenizer: Tokenizer, tokens: int) -> None:
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._words = _words(tokenizer)
        if len(self._words) < tokens:
            raise RequestError("the tokenizer has too few words that are one token", where="model")

    def text(self, number: int) -> str:
        """A prompt; raises RequestError if the words are other tokens beside each other."""
        words, first = self._words, number * _STRIDE
        length = self._tokens - int(self._tokenizer.add_bos)
        text = "".join(words[(first + at * (number + 1)) % len(words)] for at in range(length))
        count = len(self._tokenizer.encode(text))
        if count != self._tokens:
            raise RequestError(f"a prompt of {self._tokens} words is {count} tokens", where=text)
        return text

    def encoded(self, text: str) -> list[int]:
        """The tokens of a prompt, as a server reads them."""
        return self._tokenizer.encode(text)


def _words(tokenizer: Tokenizer) -> list[str]:
    """The first words of the vocabulary with a space before them: in most, the commonest."""
    found: list[str] = []
    for token in range(tokenizer.size):
        text = tokenizer.token_bytes(token).decode("ascii", "replace")
        if len(text) > _FEWEST_LETTERS and text[0] == " " and text[1:].isalpha():
            found.append(text)
            if len(found) == _MOST_WORDS:
                break
    return found
