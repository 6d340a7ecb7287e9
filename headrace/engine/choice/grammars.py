"""Grammars, compiled for a model's tokens and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from headrace.engine.choice.choice import Grammar
from headrace.engine.choice.grammar_text import grammar_text
from headrace.engine.choice.matcher import Matcher
from headrace.errors import RequestError

#: Compiled grammars that are kept.
KEPT = 128

#: What one mask may cost: about 10 ms of a lexer, 3 ms of a parser.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=150_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)


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


class Grammars:
    """Compiles grammars for one model. Safe to share by threads.

    vocabulary: logits of the model, of which the tokenizer may know fewer.

    Raises:
        RequestError: the tokenizer has no stop token, so that no answer could end.
    """

    def __init__(self, spelling: Spelling, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = _tokenizer(spelling)
        self._specials = spelling.specials
        self._kept: OrderedDict[Grammar, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, grammar: Grammar) -> None:
        """Check a grammar, and keep it compiled.

        It may take a second, so it is not for the thread that drives the model.

        Raises:
            RequestError: the grammar is malformed or too large; `where` is the place in it.
        """
        self._compiled(grammar)

    def matcher(self, grammar: Grammar) -> Matcher:
        """A new answer's place in a grammar, at its beginning; raises as `compile`."""
        own = self._compiled(grammar).deep_copy()
        return Matcher(own, self._tokenizer.vocab_size, self._vocabulary)

    def _compiled(self, grammar: Grammar) -> LLMatcher:
        with self._lock:
            found = self._kept.get(grammar)
            if found is not None:
                self._kept.move_to_end(grammar)
                return found
        text = grammar_text(grammar, self._specials)
        made = LLMatcher(self._tokenizer, text, log_level=0, limits=_LIMITS)
        if made.is_error():
            raise RequestError(made.get_error(), where=f"grammar ({grammar.kind})")
        with self._lock:
            self._kept[grammar] = made
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made


def _tokenizer(spelling: Spelling) -> LLTokenizer:
    if not spelling.stop_ids:
        raise RequestError(
            "the model has no stop token, so that no constrained answer could end", where="grammar"
        )
    stops: list[int] = list(spelling.stop_ids)
    return LLTokenizer(TokenizerWrapper(_Vocabulary(spelling)), eos_token=stops)


class _Vocabulary:
    """A tokenizer as llguidance reads it."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self.eos_token_id = spelling.stop_ids[0]
        self.bos_token_id = None
        self.tokens: Sequence[bytes] = [spelling.token_bytes(each) for each in range(spelling.size)]
        self.special_token_ids = list(spelling.specials.values())

    def __call__(self, text: bytes) -> list[int]:
        return self._spelling.encode(text.decode(), bos=False)
