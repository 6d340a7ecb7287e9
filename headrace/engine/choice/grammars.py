"""Grammars, compiled for a model's tokens and kept."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from concurrent.futures import Future

from llguidance import LLMatcher, LLParserLimits

from headrace.engine.choice.choice import Grammar
from headrace.engine.choice.grammar_text import grammar_list
from headrace.engine.choice.matcher import Matcher
from headrace.engine.choice.spelling import Spelling, tokens_of
from headrace.engine.choice.trial_process import SHARED, Trial
from headrace.errors import RequestError

#: Grammars that are kept, compiled or refused.
KEPT = 128

#: What one mask may cost: about 10 ms of a lexer, 3 ms of a parser.
_LIMITS: dict[str, int | bool] = {
    "initial_lexer_fuel": 500_000,
    "step_lexer_fuel": 150_000,
    "step_max_items": 50_000,
    "max_lexer_states": 20_000,
    "max_grammar_size": 200_000,
    "verbose_errors": False,
}


class Grammars:
    """Compiles grammars for one model. Safe to share by threads.

    vocabulary: logits of the model, of which the tokenizer may know fewer.

    Raises:
        RequestError: the tokenizer has no stop token, so that no answer could end.
    """

    def __init__(self, spelling: Spelling, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = tokens_of(spelling)
        self._specials = spelling.specials
        self._kept: OrderedDict[Grammar, Future[LLMatcher]] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, grammar: Grammar) -> None:
        """Check a grammar, and keep it compiled.

        It may take seconds, so it is not for the thread that drives the model.

        Raises:
            RequestError: the grammar is malformed or too large; `where` is the place in it.
            MachineError: there is no process to try it in.
        """
        self._compiled(grammar)

    def has(self, grammar: Grammar) -> bool:
        """Whether `matcher` would answer at once."""
        with self._lock:
            found = self._kept.get(grammar)
        return found is not None and found.done()

    def matcher(self, grammar: Grammar) -> Matcher:
        """A new answer's place in a grammar, at its beginning; raises as `compile`."""
        own = self._compiled(grammar).deep_copy()
        return Matcher(own, self._tokenizer.vocab_size, self._vocabulary)

    def _compiled(self, grammar: Grammar) -> LLMatcher:
        found = self._claim(grammar)
        error = found.exception()
        if isinstance(error, RequestError):  # a new one: what is kept must not gather tracebacks
            raise RequestError(error.what, where=error.where, hint=error.hint)
        return found.result()

    def _claim(self, grammar: Grammar) -> Future[LLMatcher]:
        """What becomes of a grammar; whoever asks first compiles it, for all."""
        with self._lock:
            found = self._kept.get(grammar)
            if found is not None:
                self._kept.move_to_end(grammar)
                return found
            found = self._kept[grammar] = Future()
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        try:
            found.set_result(self._made(grammar))
        except BaseException as error:
            found.set_exception(error.with_traceback(None))
            if not isinstance(error, RequestError):  # another time it may go well
                with self._lock:
                    self._kept.pop(grammar, None)
        return found

    def _made(self, grammar: Grammar) -> LLMatcher:
        grammars = grammar_list(grammar, self._specials)
        SHARED.check(Trial(grammars, self._specials, self._tokenizer.vocab_size, _LIMITS))
        text = json.dumps({"grammars": grammars})
        limits = LLParserLimits(**_LIMITS)  # pyright: ignore[reportArgumentType]
        made = LLMatcher(self._tokenizer, text, log_level=0, limits=limits)
        if made.is_error():
            raise RequestError(made.get_error(), where="grammar")
        return made
