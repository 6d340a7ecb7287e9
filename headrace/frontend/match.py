"""Small structures that several rules look for. All see through casts."""

from __future__ import annotations

from typing import Any

from torch.fx import Node

from headrace.frontend import positions
from headrace.frontend.trace import Trace, arguments, aten, is_call, is_getitem, shape_of


def number(trace: Trace, operand: Any) -> float | None:
    """The number that an operand is, be it written in the code or held in a buffer."""
    if isinstance(operand, int | float):
        return float(operand)
    operand = trace.source(operand)
    return positions.scalar(trace, operand) if trace.is_constant(operand) else None


def same_pair(trace: Trace, node: object, target: object) -> list[tuple[Any, Any]]:
    """The operands of a commutative operator in both orders; nothing for other nodes."""
    node = trace.source(node)
    if not is_call(node, target):
        return []
    if node.kwargs.get("alpha", 1) != 1:
        return []
    left, right = (trace.source(operand) for operand in node.args)
    return [(left, right), (right, left)]


def factors(trace: Trace, node: object) -> list[tuple[Any, Any]]:
    """The factors of a product in both orders."""
    return same_pair(trace, node, aten.mul.Tensor)


def square_of(trace: Trace, node: Node) -> Node | None:
    """x where the node is x^2."""
    if is_call(node, aten.pow.Tensor_Scalar) and node.args[1] == 2:
        return trace.source(node.args[0])
    if is_call(node, aten.square.default):
        return trace.source(node.args[0])
    for left, right in factors(trace, node):
        if left is right:
            return left
    return None


def half_of(trace: Trace, node: object) -> tuple[Node, int] | None:
    """x and 0 or 1 where the node is the first or the second half of x's last dimension."""
    node = trace.source(node)
    if is_call(node, aten.slice.Tensor):
        return _sliced_half(trace, node)
    if is_getitem(node):
        pieces, which = node.args
        kinds = aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default
        if is_call(pieces, *kinds) and isinstance(which, int):
            return _split_half(trace, pieces, which)
    return None


def _sliced_half(trace: Trace, node: Node) -> tuple[Node, int] | None:
    given = arguments(node)
    whole = trace.source(given["self"])
    if not is_last(whole, given["dim"]) or given["step"] != 1:
        return None
    width = shape_of(whole)[-1]
    start, end, _ = slice(given["start"], given["end"]).indices(width)
    which = {(0, width // 2): 0, (width // 2, width): 1}.get((start, end))
    return None if which is None else (whole, which)


def _split_half(trace: Trace, pieces: Node, which: int) -> tuple[Node, int] | None:
    given = arguments(pieces)
    whole = trace.source(given["self"])
    widths = [each.shape[-1] for each in pieces.meta["val"]]
    if not is_last(whole, given["dim"]) or widths != [shape_of(whole)[-1] // 2] * 2:
        return None
    return whole, which


def is_last(node: Node, dim: int) -> bool:
    """Whether a dimension, counted from either end, is a node's last and holds no tokens."""
    shape = shape_of(node)
    return dim % len(shape) == len(shape) - 1 and isinstance(shape[-1], int)
