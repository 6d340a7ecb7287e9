"""Evaluates nodes that depend on positions and constants alone, with real PyTorch."""

from __future__ import annotations

from collections.abc import Container, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node
from torch.fx.node import map_aggregate

from headrace.frontend.rules import CannotLowerError
from headrace.frontend.trace import Trace, arguments, aten, is_call, shape_of

#: How many evenly spread positions are looked at besides the powers of two.
SPREAD = 64


def evaluate(trace: Trace, node: Node) -> tuple[NDArray[np.int64], torch.Tensor]:
    """A constant node's value for some positions, and these positions.

    A module that takes positions is asked for few of them, up to the last of the context; one that
    counts its tokens itself gets the whole context.
    """
    needed = _ancestors(trace, node)
    context = trace.exported.context
    sparse = trace.exported.positions in needed
    positions = sample(context) if sparse else np.arange(context)
    return positions, _run(trace, node, needed, positions)


def evaluate_at(trace: Trace, node: Node, wanted: NDArray[np.int64]) -> torch.Tensor:
    """A constant node's value for the positions `sample` gives, along all dimensions of tokens."""
    asked, values = evaluate(trace, node)
    if len(asked) == len(wanted):
        return values
    for dim, size in enumerate(shape_of(node)):
        if isinstance(size, torch.SymInt):
            values = values.index_select(dim, torch.from_numpy(wanted))
    return values


def evaluate_among(
    trace: Trace, node: Node, tokens: int, given: Mapping[Node, torch.Tensor] | None = None
) -> torch.Tensor:
    """A node's value for the first `tokens` positions, where some nodes have values given.

    Raises:
        CannotLowerError: it depends on more than positions, constants and the given nodes.
    """
    known = given or {}
    needed = _ancestors(trace, node, known)
    return _run(trace, node, needed, np.arange(tokens), known)


def ancestors(trace: Trace, node: Node) -> set[Node]:
    """All that a constant node is computed from, and itself."""
    return _ancestors(trace, node)


def scalar(trace: Trace, node: Node) -> float | None:
    """The number that a constant node of one element is; None if it has more."""
    if any(isinstance(size, torch.SymInt) or size != 1 for size in shape_of(node)):
        return None
    return float(_run(trace, node, _ancestors(trace, node), np.arange(2)))


def sample(context: int) -> NDArray[np.int64]:
    """Positions that show how something depends on them: 0, powers of two, evenly spread ones."""
    powers = 2 ** np.arange(context.bit_length())
    spread = np.linspace(0, context - 1, SPREAD).astype(np.int64)
    chosen = np.unique(np.concatenate([[0], powers, spread]))
    return chosen[chosen < context]


def _ancestors(trace: Trace, node: Node, known: Container[Node] = ()) -> set[Node]:
    found: set[Node] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if current not in found and current is not trace.exported.tokens:
            found.add(current)
            ends = current in known or is_call(current, aten.sym_size.int)
            stack += [] if ends else _inputs(current)
    return found


def _inputs(node: Node) -> list[Node]:
    """What a node's value depends on: of `type_as`, only the tensor that is cast."""
    return node.all_input_nodes[:1] if is_call(node, aten.type_as.default) else node.all_input_nodes


def _run(
    trace: Trace,
    node: Node,
    needed: set[Node],
    positions: NDArray[np.int64],
    known: Mapping[Node, torch.Tensor] = MappingProxyType({}),
) -> torch.Tensor:
    exported = trace.exported
    values: dict[Node, Any] = {
        constant: value for constant, value in exported.constants.items() if not value.is_meta
    }
    values[exported.positions] = torch.from_numpy(positions)[None]
    values.update(known)
    with torch.no_grad():
        for current in exported.graph.nodes:
            if current in needed and current not in values:
                values[current] = _call(current, values, len(positions))
    return values[node]


def _call(node: Node, values: dict[Node, Any], tokens: int) -> Any:
    if is_call(node, aten.sym_size.int):
        size = shape_of(node.args[0])[arguments(node)["dim"]]
        return tokens if isinstance(size, torch.SymInt) else size
    if node.op == "get_attr":
        return attrgetter(str(node.target))(node.graph.owning_module)
    if is_call(node, aten.type_as.default):
        return values[node.all_input_nodes[0]].to(node.meta["val"].dtype)
    if node.op != "call_function":
        raise CannotLowerError(f"the value of '{node.name}' is not known before weights are read")

    def real(argument: Any) -> Any:
        if isinstance(argument, Node):
            return values[argument]
        return torch.device("cpu") if isinstance(argument, torch.device) else argument

    assert callable(node.target)
    return node.target(*map_aggregate(node.args, real), **map_aggregate(node.kwargs, real))
