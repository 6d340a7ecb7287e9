"""What makes the host choose a sequence's tokens, as plain data."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from headrace.errors import RequestError

#: Alternatives that may be asked for beside a chosen token; as OpenAI's API.
MOST_LOGPROBS = 20
#: Tokens that may have a bias; as OpenAI's API.
MOST_BIASES = 300
LARGEST_BIAS = 100.0
LARGEST_PENALTY = 2.0
#: Logits over the least of them stay finite.
LEAST_REPETITION, MOST_REPETITION = 0.01, 2.0

GrammarKind = Literal["json_schema", "json_object", "regex", "lark"]


class Reasoning(msgspec.Struct, frozen=True):
    """What a model writes between two markers before its answer.

    opened: whether the prompt has the first marker already.
    """

    begin: str
    end: str
    opened: bool = False


class Grammar(msgspec.Struct, frozen=True):
    """What an answer must look like.

    kind: `json_schema`: text is the schema; `json_object`: any JSON object, text is not used;
        `regex`: the whole answer matches (Rust's `regex` syntax); `lark`: llguidance's dialect.
    strict: whether a keyword of a schema that cannot be enforced is an error, or passed over.
    reasoning: free text between markers that comes first.
    """

    kind: GrammarKind
    text: str = ""
    strict: bool = True
    reasoning: Reasoning | None = None


class Choice(msgspec.Struct, frozen=True):
    """How a token is chosen, beyond what the native program does.

    presence_penalty, frequency_penalty: -2 to 2, taken off the logits of generated tokens, once
        and for each time. repetition_penalty: 0.01 to 2; divides positive logits of
        tokens of prompt and answer, multiplies negative ones; 1 is off.
    logit_bias: added to a token's logit, -100 to 100.
    logprobs: alternatives to give beside each token, with log-probabilities; 0: of the chosen
        token only; None: none at all.
    grammar: what the answer must look like.
    """

    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] = {}
    logprobs: int | None = None
    grammar: Grammar | None = None

    def check(self, vocabulary: int) -> None:
        """Check all values but the grammar, which `Grammars.compile` checks.

        Raises:
            RequestError: a value is out of its range; `where` names it.
        """
        for name in ("presence_penalty", "frequency_penalty"):
            value: float = getattr(self, name)
            _require(abs(value) <= LARGEST_PENALTY, name, value, "from -2 to 2")
        repetition = self.repetition_penalty
        fits = LEAST_REPETITION <= repetition <= MOST_REPETITION
        bounds = f"from {LEAST_REPETITION} to {MOST_REPETITION}"
        _require(fits, "repetition_penalty", repetition, bounds)
        if self.logprobs is not None:
            fits = 0 <= self.logprobs <= MOST_LOGPROBS
            _require(fits, "logprobs", self.logprobs, f"from 0 to {MOST_LOGPROBS}")
        self._check_biases(vocabulary)

    def _check_biases(self, vocabulary: int) -> None:
        count = len(self.logit_bias)
        if count > MOST_BIASES:
            raise RequestError(
                f"logit_bias has {count} tokens; it takes {MOST_BIASES}", where="logit_bias"
            )
        for token, bias in self.logit_bias.items():
            where = f"logit_bias[{token}]"
            if not 0 <= token < vocabulary:
                raise RequestError(
                    f"{token} is not a token: they are 0 to {vocabulary - 1}", where=where
                )
            fits = math.isfinite(bias) and abs(bias) <= LARGEST_BIAS
            _require(fits, where, bias, "from -100 to 100")


def _require(holds: bool, field: str, value: float, range: str) -> None:
    if not holds:
        raise RequestError(f"{field} is {value!r}; it must be {range}", where=field)
