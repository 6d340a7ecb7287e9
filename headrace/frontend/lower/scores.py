"""What attention does to the products of queries and keys before the softmax.

A model may write this in any way. It is recognised by its values: given the products, the scores
must be `cap(scale * product) + slope[h] * (key - query) + c`, with any c that all keys of a query
have in common (softmax does not see it), and minus infinity for the keys that are not attended to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from headrace.frontend.rules import CannotLowerError

#: At most this is a score of an entry that is not attended to: e^-10000 is 0 in float32.
FORBIDDEN = -1e4
#: Biases may have been rounded to bfloat16, whose numbers are 2^-8 apart (Falcon's are).
BIAS_TOLERANCE = 2.0**-8
#: Of scores computed in float32 from products up to `_PRODUCTS` standard deviations.
SCORE_TOLERANCE = 1e-4
_PRODUCTS, _LARGE = 4.0, 2.0**20

#: Scores `[..., T, T]` of products of the same shape.
Score = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Scores:
    """The parameters of an AttentionOp, named as its own."""

    scale: float
    window: int = 0
    softcap: float = 0.0
    slopes: tuple[float, ...] = ()


def fit_scores(score: Score, shape: tuple[int, ...]) -> Scores:
    """The scores that a function computes from products of a shape `[..., T, T]`.

    Windows longer than T are not seen.

    Raises:
        CannotLowerError: they are not of the form above.
    """
    biases = score(torch.zeros(shape)).broadcast_to(shape).flatten(0, -3).double()
    window = fit_window(biases > FORBIDDEN)
    slopes = fit_slopes(biases, window)
    fitted = replace(_fit_scale(score, shape), window=window, slopes=slopes)
    _check(score, shape, fitted, biases)
    return fitted


def fit_window(allowed: torch.Tensor) -> int:
    """The window of a causal mask `[..., T, T]` that is true where a key is attended to; or 0.

    Raises:
        CannotLowerError: it is another mask.
    """
    behind = distances(allowed.shape[-1])
    seen = int(allowed.reshape(-1, *allowed.shape[-2:])[0, -1].sum())
    window = 0 if seen == allowed.shape[-1] else seen
    expected = (behind >= 0) & (behind < window) if window else behind >= 0
    if not bool((allowed == expected).all()):
        raise CannotLowerError("attention with a mask that is neither causal nor a sliding window")
    return window


def fit_slopes(biases: torch.Tensor, window: int) -> tuple[float, ...]:
    """What is added to a score for each position that the key lies further ahead, one a head.

    biases: `[heads, T, T]`; empty if nothing is added.

    Raises:
        CannotLowerError: something else is added.
    """
    tokens = biases.shape[-1]
    behind = distances(tokens)
    allowed = (behind >= 0) & (behind < window) if window else behind >= 0
    relative = (biases - biases.diagonal(dim1=-2, dim2=-1)[..., None]).where(allowed, 0)
    reach = (window or tokens) - 1
    slopes = -relative[:, -1, -1 - reach] / max(reach, 1)
    error = (relative + slopes[:, None, None] * behind.where(allowed, 0)).abs().amax((-2, -1))
    if bool((error > BIAS_TOLERANCE * slopes.abs() * tokens).any()):
        raise CannotLowerError("attention with a bias that is not linear in the distance")
    return tuple(slopes.tolist()) if bool((slopes != 0).any()) else ()


def distances(tokens: int) -> torch.Tensor:
    """How far each key `j` lies behind each query `i`: `[T, T]` of i - j."""
    positions = torch.arange(tokens)
    return positions[:, None] - positions


def _fit_scale(score: Score, shape: tuple[int, ...]) -> Scores:
    """Scale and cap, from what one product of the first token with itself becomes."""

    def scored(product: float) -> float:
        values = score(torch.full(shape, product)).broadcast_to(shape)
        return float(values.reshape(-1, *shape[-2:])[0, 0, 0])

    nothing, one, large = (scored(product) for product in (0.0, 1.0, _LARGE))
    if abs(large - nothing) > _LARGE / 2 * abs(one - nothing):
        return Scores((large - nothing) / _LARGE)
    cap = torch.tensor(large - nothing, dtype=torch.double)
    scale = cap * torch.atanh((one - nothing) / cap)
    if not (bool(torch.isfinite(scale)) and cap > 0):
        raise CannotLowerError("attention whose scores are not linear in query times key")
    return Scores(float(scale), softcap=float(cap))


def _check(score: Score, shape: tuple[int, ...], fitted: Scores, biases: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    products = _PRODUCTS * torch.randn(shape, generator=generator)
    found = score(products).broadcast_to(shape).flatten(0, -3).double()
    expected = fitted.scale * products.flatten(0, -3).double()
    if fitted.softcap:
        expected = fitted.softcap * torch.tanh(expected / fitted.softcap)
    allowed = biases > FORBIDDEN
    error = (found - expected - biases).where(allowed, 0).abs().max()
    largest = expected.abs().max() + biases.where(allowed, 0).abs().max()
    if bool(error > SCORE_TOLERANCE * largest) or bool((found > FORBIDDEN)[~allowed].any()):
        raise CannotLowerError("attention whose scores are not linear in query times key")
