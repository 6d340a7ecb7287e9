"""What a request may ask for; every value is checked before anything runs."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

from headrace.errors import RequestError

if TYPE_CHECKING:
    from headrace.runtime.schedule import Sampling

DEFAULT_MAX_TOKENS = 512
INT64 = 1 << 63


@dataclass(frozen=True, slots=True)
class Request:
    """How an answer is drawn, and how long it may be.

    Attributes:
        max_tokens: at least 1.
        temperature: finite, at least 0; 0 takes the likeliest token each time (greedy).
        top_k: draw among the k likeliest tokens only; 0 is off.
        top_p: draw among the likeliest tokens that together reach this probability; 0 < p <= 1.
        min_p: leave out tokens below this share of the likeliest one's probability; 0 <= p <= 1.
        seed: 64-bit signed; the same seed draws the same tokens. None takes one at random.

    Raises:
        RequestError: a value is out of its range; `where` names it.
    """

    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _integer("max_tokens", self.max_tokens, "an integer of at least 1", low=1)
        _integer("top_k", self.top_k, "an integer of at least 0 (0 is off)", low=0)
        temperature = _number("temperature", self.temperature, "a finite number of at least 0")
        _require(temperature >= 0, "temperature", temperature, "a finite number of at least 0")
        top_p = _number("top_p", self.top_p, "above 0 and at most 1")
        _require(0 < top_p <= 1, "top_p", top_p, "above 0 and at most 1")
        min_p = _number("min_p", self.min_p, "from 0 to 1")
        _require(0 <= min_p <= 1, "min_p", min_p, "from 0 to 1")
        if self.seed is not None:
            seed = _integer("seed", self.seed, "a 64-bit signed integer", low=-INT64)
            _require(seed < INT64, "seed", seed, "a 64-bit signed integer")

    def sampling(self, vocabulary: int) -> Sampling:
        """As the native program takes it."""
        from headrace.runtime.schedule import Sampling

        return Sampling(
            temperature=float(self.temperature),
            top_k=min(int(self.top_k), vocabulary),
            top_p=float(self.top_p),
            min_p=float(self.min_p),
            seed=secrets.randbits(63) if self.seed is None else int(self.seed),
        )


def is_integer(value: object) -> bool:
    """Whether a value is an integer, Python's or NumPy's, and no bool."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def _is_real(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real)


def _integer(field: str, value: int, range: str, *, low: int) -> int:
    _require(is_integer(value) and value >= low, field, value, range)
    return value


def _number(field: str, value: float, range: str) -> float:
    _require(_is_real(value) and math.isfinite(value), field, value, range)
    return value


def _require(holds: bool, field: str, value: object, range: str) -> None:
    if not holds:
        raise RequestError(f"{field} is {value!r}; it must be {range}", where=field)
