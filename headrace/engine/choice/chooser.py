"""Chooses the tokens of one sequence from its logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.engine.choice.choice import Choice
from headrace.engine.choice.grammars import Grammars
from headrace.engine.choice.logprobs import likeliest, log_total
from headrace.engine.choice.matcher import Matcher
from headrace.engine.choice.penalties import Penalties
from headrace.engine.choice.sampler import sample
from headrace.errors import RequestError
from headrace.runtime.schedule import Sampling

#: Where less than this part of the tokens is allowed, they are gathered.
_SPARSE = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """A token that was chosen.

    logprob: natural logarithm of the probability that the model itself gives it; None if not asked.
    top: the model's likeliest tokens with theirs, the likeliest first.
    finished: the grammar is at its end: nothing but a stop token could follow.
    """

    token: int
    logprob: float | None = None
    top: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    finished: bool = False


class Chooser:
    """What one sequence has had so far, and what it may have next.

    vocabulary: logits of the model. grammars: needed where the choice has a grammar.

    Raises:
        RequestError: a value of the choice is out of its range, or its grammar is malformed.
    """

    def __init__(
        self,
        choice: Choice,
        sampling: Sampling,
        vocabulary: int,
        grammars: Grammars | None,
        prompt: Sequence[int],
    ) -> None:
        choice.check(vocabulary)
        self._choice = choice
        self._sampling = sampling
        self._penalties = Penalties(choice, prompt)
        self._matcher = _matcher(choice, grammars)

    def choose(self, logits: NDArray[np.float32], position: int) -> Chosen:
        """Choose the next token, and go on by it.

        Args:
            logits: f32 `[V]` of the model; they are left as they are.
            position: of the token that they follow.

        Raises:
            RequestError: no token goes on within the grammar.
        """
        token = self._token(logits, position)
        self._penalties.take(token)
        finished = False
        if self._matcher is not None:
            self._matcher.take(token)
            finished = self._matcher.finished
        if self._choice.logprobs is None:
            return Chosen(token, finished=finished)
        total = log_total(logits)
        top = likeliest(logits, self._choice.logprobs, total)
        return Chosen(token, float(logits[token]) - total, top, finished)

    def _token(self, logits: NDArray[np.float32], position: int) -> int:
        if self._penalties.active:
            logits = logits.copy()
            self._penalties.apply(logits)
        if self._matcher is None:
            return sample(logits, self._sampling, position)
        allowed = self._matcher.allowed()
        if np.count_nonzero(allowed) > allowed.size // _SPARSE:
            masked = np.where(allowed, logits, np.float32(-np.inf))
            return sample(masked, self._sampling, position)
        tokens = np.flatnonzero(allowed)
        return int(tokens[sample(logits[tokens], self._sampling, position)])


def _matcher(choice: Choice, grammars: Grammars | None) -> Matcher | None:
    if choice.grammar is None:
        return None
    if grammars is None:
        raise RequestError(
            "this model has no tokenizer, so that no grammar can be applied", where="grammar"
        )
    return grammars.matcher(choice.grammar)
