"""Log-probabilities as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.engine.job import TokenLogprobs
from headrace.text import Tokenizer

#: JSON has no infinity: what a grammar or a bias rules out altogether.
LEAST = -9999.0


def chat_logprobs(tokenizer: Tokenizer, entries: Sequence[TokenLogprobs]) -> list[dict[str, Any]]:
    """For chat: each token with its bytes, and the likeliest in its place."""
    return [
        {
            **_token(tokenizer, each.token, each.logprob),
            "top_logprobs": [_token(tokenizer, token, value) for token, value in each.top],
        }
        for each in entries
    ]


class CompletionLogprobs:
    """For completions: parallel lists, with each token's place in the text.

    Args:
        offset: characters of the text before the first token.
    """

    def __init__(self, tokenizer: Tokenizer, offset: int) -> None:
        self._tokenizer = tokenizer
        self._offset = offset

    def lists(self, entries: Sequence[TokenLogprobs]) -> dict[str, Any]:
        """The lists of some more tokens."""
        texts = [_text(self._tokenizer.token_bytes(each.token)) for each in entries]
        offsets: list[int] = []
        for text in texts:
            offsets.append(self._offset)
            self._offset += len(text)
        return {
            "tokens": texts,
            "token_logprobs": [_finite(each.logprob) for each in entries],
            "top_logprobs": [self._top(each) for each in entries],
            "text_offset": offsets,
        }

    def _top(self, entry: TokenLogprobs) -> dict[str, float]:
        both = [*entry.top, (entry.token, entry.logprob)]
        return {_text(self._tokenizer.token_bytes(token)): _finite(value) for token, value in both}


def _token(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    spelt = tokenizer.token_bytes(token)
    return {"token": _text(spelt), "logprob": _finite(logprob), "bytes": list(spelt)}


def _text(spelt: bytes) -> str:
    return spelt.decode(errors="replace")


def _finite(logprob: float) -> float:
    return max(logprob, LEAST)
