"""Masks and biases of attention that depend on positions alone: what they say at every length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod

import torch
from torch.fx import Node
from torch.fx.node import map_aggregate

from headrace.frontend.hooks import MASK
from headrace.frontend.lower.scores import (
    BIAS_TOLERANCE,
    FORBIDDEN,
    Score,
    Scores,
    fit_scores,
    fit_slopes,
    fit_window,
)
from headrace.frontend.positions import ancestors, evaluate_among
from headrace.frontend.rules import CannotLowerError
from headrace.frontend.trace import Trace, arguments, is_call, shape_of

#: Tokens for which all of a layer's scores are looked at.
SHORT = 24
#: Entries of a mask or bias that are looked at, once.
MOST = 2**22

_DATA = "attention with a mask that depends on more than positions"


def masked_scores(trace: Trace, mask: Node, plain: Scores) -> Scores:
    """The scores of attention with a mask, which is boolean or added; it replaces the window.

    Raises:
        CannotLowerError: the mask is not that of causal attention in a window, with linear biases.
    """
    source = trace.source(mask)
    if is_call(source, MASK):
        return replace(plain, window=_window_of(trace, source))
    if trace.is_data(source):
        raise CannotLowerError(_DATA)

    def score(products: torch.Tensor) -> torch.Tensor:
        values = evaluate_among(trace, source, products.shape[-1])
        scaled = plain.scale * products
        return scaled.where(values, -torch.inf) if values.dtype is torch.bool else scaled + values

    fitted = fit_at_every_length(trace, score, shape_of(source)[:-2] or (1,), [source])
    return replace(plain, window=fitted.window, slopes=fitted.slopes)


def fit_at_every_length(
    trace: Trace, score: Score, heads: Iterable[object], leaves: Iterable[Node]
) -> Scores:
    """As `fit_scores`, for all lengths up to the context.

    The scores of few tokens tell how `leaves`, the masks and biases that enter them, are used;
    each leaf must then go on in its way.

    heads: the dimensions of the scores before their last two.
    """
    tokens = min(SHORT, trace.exported.context)
    fitted = fit_scores(score, (*(int(str(size)) for size in heads), tokens, tokens))
    windows = [window for leaf in leaves if (window := _window_of_leaf(trace, leaf))]
    window = min(windows, default=0)
    if (fitted.window or window) and fitted.window != (window if window < tokens else 0):
        raise CannotLowerError("attention with a mask that changes with the length of the text")
    return replace(fitted, window=window)


def _window_of(trace: Trace, mask: Node) -> int:
    given = arguments(mask)
    if given["others"]:
        raise CannotLowerError(f"attention with a mask of its own: {', '.join(given['others'])}")
    padding = given["padding"]
    if padding is not None:
        if trace.is_data(padding):
            raise CannotLowerError(_DATA)
        if not bool(evaluate_among(trace, padding, SHORT).all()):
            raise CannotLowerError("attention with a mask of padding")
    return given["window"]


def _window_of_leaf(trace: Trace, leaf: Node) -> int:
    """The window of a mask or bias; 0 if all keys are attended to.

    Raises:
        CannotLowerError: it is no causal mask, nor linear in the distance.
    """
    shape = shape_of(leaf)
    dynamic = [index - len(shape) for index, size in enumerate(shape) if not isinstance(size, int)]
    if any(index < -2 for index in dynamic):
        raise CannotLowerError("attention with a mask of another shape than [heads, T, T]")
    if -1 not in dynamic:
        return 0
    fixed = prod(size for size in shape if isinstance(size, int))
    tokens = min(trace.exported.context, int((MOST / fixed) ** (1 / len(dynamic))))
    _require_no_change_beyond(trace, leaf, tokens)
    values = evaluate_among(trace, leaf, tokens)
    if values.dim() > 1 and values.shape[-2] == tokens > 1:
        return _window_of_square(values.reshape(-1, tokens, tokens))
    _require_linear(values.reshape(-1, tokens))
    return 0


def _window_of_square(values: torch.Tensor) -> int:
    """As `_window_of_leaf`, of values `[heads, T, T]`; a boolean may say either which keys are
    attended to or which are not, but a token always attends to itself."""
    if values.dtype is torch.bool:
        return fit_window(values == values[0, 0, 0])
    allowed = values > FORBIDDEN
    window = 0 if bool(allowed.all()) else fit_window(allowed)
    if bool(values.where(allowed, 0).any()):
        fit_slopes(values, window)
    return window


def _require_linear(values: torch.Tensor) -> None:
    """Of values `[heads, T]` that are the same for all queries."""
    from_first = values.double() - values[:, :1].double()
    steps = torch.arange(values.shape[-1])
    slopes = from_first[:, -1:] / max(len(steps) - 1, 1)
    error = (from_first - slopes * steps).abs().amax(-1, keepdim=True)
    if bool((error > BIAS_TOLERANCE * slopes.abs() * len(steps)).any()):
        raise CannotLowerError("attention with a bias that is not linear in the distance")


def _require_no_change_beyond(trace: Trace, leaf: Node, tokens: int) -> None:
    """Of a mask too large to be looked at whole: no number in its arithmetic and no table that it
    is made of may matter at a later position."""
    context = trace.exported.context
    if tokens == context:
        return
    for node in ancestors(trace, leaf):
        numbers = [abs(each) for each in _numbers(node)]
        constant = trace.exported.constants.get(node)
        numbers += [] if constant is None else list(constant.shape)
        if any(tokens < each < context for each in numbers):
            raise CannotLowerError(
                f"attention with a mask that may change beyond position {tokens}",
                "load the model with a shorter max_position_embeddings",
            )


def _numbers(node: Node) -> Iterator[float]:
    found: list[float] = []
    map_aggregate(
        node.args, lambda each: found.append(each) if isinstance(each, int | float) else None
    )
    yield from found
