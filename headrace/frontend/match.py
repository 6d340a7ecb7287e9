"""Small structures that several rules look for. All see through casts."""

from __future__ import annotations

from typing import Any

from torch.fx import Node

from headrace.frontend import positions
from headrace.frontend.trace import Trace, aten, is_call, shape_of


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


def is_last(node: Node, dim: int) -> bool:
    """Whether a dimension, counted from either end, is a node's last and holds no tokens."""
    shape = shape_of(node)
    return dim % len(shape) == len(shape) - 1 and isinstance(shape[-1], int)
