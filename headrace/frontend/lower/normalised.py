"""Recognises what a norm does before its weight: `(x - mean) / sqrt(variance + epsilon)` and kin.

Everything sees through casts, and two nodes that compute the same from the same are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch.fx import Node

from headrace.frontend.match import factors, is_last, number, same_pair, square_of
from headrace.frontend.trace import Trace, arguments, aten, is_call

Kind = Literal["rms", "layer"]


@dataclass(frozen=True, slots=True)
class Core:
    """`input / sqrt(mean(input^2) + epsilon)`, for a layer norm after taking off the mean."""

    input: Node
    kind: Kind
    epsilon: float


def find_core(trace: Trace, node: Node) -> Core | None:
    """The norm without weight and bias that a node is, if it is one."""
    for scaled, inverse in _quotients(trace, node):
        for spread, constant in same_pair(trace, inverse, aten.add.Tensor):
            epsilon = number(trace, constant)
            if epsilon is None:
                continue
            found = _core(trace, scaled, spread)
            if found is not None:
                return Core(*found, epsilon)
    return None


def _core(trace: Trace, scaled: Node, spread: Node) -> tuple[Node, Kind] | None:
    """x and the kind of norm, of what is scaled and the mean square or variance it is scaled by."""
    centred = _centred(trace, scaled)
    squared = _mean_square_of(trace, spread)
    if centred is not None:
        if _variance_of(trace, spread) is centred:
            return centred, "layer"
        if squared is not None and _centred(trace, squared) is centred:
            return centred, "layer"
    return (scaled, "rms") if squared is scaled else None


def _quotients(trace: Trace, node: Node) -> list[tuple[Node, Node]]:
    """(x, y) of x / sqrt(y)."""
    found = [
        (x, _under_root(trace, root))
        for x, root in factors(trace, node)
        if is_call(root, aten.rsqrt.default) or _is_power(root, -0.5)
    ]
    if is_call(node, aten.div.Tensor):
        x, root = (trace.source(argument) for argument in node.args)
        if is_call(root, aten.sqrt.default) or _is_power(root, 0.5):
            found.append((x, _under_root(trace, root)))
    return found


def _is_power(node: object, exponent: float) -> bool:
    return is_call(node, aten.pow.Tensor_Scalar) and bool(node.args[1] == exponent)


def _under_root(trace: Trace, root: Node) -> Node:
    return trace.source(root.args[0])


def _centred(trace: Trace, node: object) -> Node | None:
    """x of x - mean(x)."""
    if not is_call(node, aten.sub.Tensor) or node.kwargs.get("alpha", 1) != 1:
        return None
    x, mean = (trace.source(argument) for argument in node.args)
    return x if _mean_of(trace, mean) is x else None


def _mean_square_of(trace: Trace, node: object) -> Node | None:
    """x of mean(x^2)."""
    squared = _mean_of(trace, node)
    return None if squared is None else square_of(trace, squared)


def _mean_of(trace: Trace, node: object) -> Node | None:
    """x of mean(x) over the last dimension, which is kept."""
    return _over_last(trace, node) if is_call(node, aten.mean.dim) else None


def _variance_of(trace: Trace, node: object) -> Node | None:
    """x of the biased variance of x over the last dimension, which is kept."""
    if not is_call(node, aten.var.dim, aten.var.correction):
        return None
    given = arguments(node)
    is_biased = given["correction"] == 0 if "correction" in given else not given["unbiased"]
    return _over_last(trace, node) if is_biased else None


def _over_last(trace: Trace, node: Node) -> Node | None:
    """What a reduction reduces, if it does so over the last dimension alone and keeps it."""
    given = arguments(node)
    reduced, dims = trace.source(given["self"]), given["dim"]
    if not dims or len(dims) != 1 or not given["keepdim"] or not is_last(reduced, dims[0]):
        return None
    return reduced
