"""A tokenizer's tokens as llguidance reads them."""

from __future__ import annotations

from typing import Protocol

from llguidance import LLTokenizer, TokenizerWrapper

from headrace.errors import RequestError

#: Tokens that an encoder may put before a text: a space and what it is joined to.
_BEFORE = 2


class Spelling(Protocol):
    """What grammars ask of a tokenizer (`headrace.text.Tokenizer` is one)."""

    @property
    def size(self) -> int: ...
    @property
    def stop_ids(self) -> tuple[int, ...]: ...
    @property
    def specials(self) -> dict[str, int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...
    def encode(self, text: str, *, bos: bool | None = None) -> list[int]: ...


def tokens_of(spelling: Spelling) -> LLTokenizer:
    """All tokens, special ones marked; stop tokens end an answer.

    Raises:
        RequestError: the tokenizer has no stop token, so that no answer could end.
    """
    if not spelling.stop_ids:
        raise RequestError(
            "the model has no stop token, so that no constrained answer could end", where="grammar"
        )
    stops: list[int] = list(spelling.stop_ids)
    return LLTokenizer(TokenizerWrapper(_Vocabulary(spelling)), eos_token=stops)


class _Vocabulary:
    """What `TokenizerWrapper` asks for."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self.eos_token_id = spelling.stop_ids[0]
        self.bos_token_id = None
        self.tokens = [spelling.token_bytes(token) for token in range(spelling.size)]
        self.special_token_ids = list(spelling.specials.values())
        specials = set(self.special_token_ids)
        self._plain = {
            text: token for token, text in enumerate(self.tokens) if text and token not in specials
        }
        self._longest = max(map(len, self._plain))

    def __call__(self, text: bytes) -> list[int]:
        """Tokens that spell a text within an answer: where it has no choice, it is these.

        SentencePiece puts a space before a text, but not behind a new line.
        """
        for before in ("", "\n"):
            ids = self._spelling.encode(before + text.decode(), bos=False)
            for start in range(min(len(ids), _BEFORE + 1)):
                if b"".join(self.tokens[token] for token in ids[start:]) == text:
                    return ids[start:]
        return self._longest_first(text)

    def _longest_first(self, text: bytes) -> list[int]:
        """The longest token that fits, again and again, as far as tokens can spell the text."""
        tokens: list[int] = []
        while text:
            ends = range(min(self._longest, len(text)), 0, -1)
            end = next((end for end in ends if text[:end] in self._plain), None)
            if end is None:
                break
            tokens.append(self._plain[text[:end]])
            text = text[end:]
        return tokens
