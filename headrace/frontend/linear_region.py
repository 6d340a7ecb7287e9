"""Finds what a model computes linearly from one tensor with tables of positions: rotations."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.fx import Node

from headrace.frontend.trace import Trace, aten, is_call, is_getitem, shape_of

#: More nodes than any way to write a rotation has.
LARGEST = 64

_SUMS = (aten.add.Tensor, aten.sub.Tensor)
_SCALED = (aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar)
#: Operators that move entries about, or negate them.
_MOVES = {
    aten.cat.default,
    aten.chunk.default,
    aten.complex.default,
    aten.expand.default,
    aten.flatten.using_ints,
    aten.imag.default,
    aten.index.Tensor,
    aten.index_select.default,
    aten.narrow.default,
    aten.neg.default,
    aten.permute.default,
    aten.real.default,
    aten.repeat.default,
    aten.reshape.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.stack.default,
    aten.transpose.int,
    aten.unbind.int,
    aten.unflatten.int,
    aten.unsqueeze.default,
    aten.view.default,
    aten._unsafe_view.default,
    aten.view_as_complex.default,
    aten.view_as_real.default,
}


@dataclass(frozen=True, slots=True)
class Region:
    """The nodes by which `output`, shaped as `input`, is linear in it.

    Attributes:
        tables: the constants that take part.
    """

    input: Node
    output: Node
    tables: tuple[Node, ...]


def find_region(trace: Trace, output: Node) -> Region | None:
    """The smallest region with a table of one row a token that ends in a node, if there is one.

    Nodes are taken off latest first; when just one is left, all ways lead through it.
    """
    tables: list[Node] = []
    waiting = _Latest(trace)
    waiting.put([output])
    for _ in range(LARGEST):
        node = waiting.take()
        inputs = _inputs(trace, node, tables)
        if inputs is None:
            return None
        waiting.put(inputs)
        only = waiting.only
        if only is not None and _resembles(only, output) and any(map(_is_per_token, tables)):
            return Region(only, output, tuple(dict.fromkeys(tables)))
        if not waiting.nodes:
            return None
    return None


class _Latest:
    """Nodes, each once, of which the latest in the graph can be taken."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.heap: list[int] = []
        self.nodes: dict[int, Node] = {}

    def put(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            order = -self.trace.order[node]
            if order not in self.nodes:
                self.nodes[order] = node
                heapq.heappush(self.heap, order)

    def take(self) -> Node:
        return self.nodes.pop(heapq.heappop(self.heap))

    @property
    def only(self) -> Node | None:
        return self.nodes[self.heap[0]] if len(self.heap) == 1 else None


def _inputs(trace: Trace, node: Node, tables: list[Node]) -> list[Node] | None:
    """What a node is linear in, without casts; its constants join the tables. None if it is not."""
    data = [trace.source(each) for each in node.all_input_nodes if trace.is_data(each)]
    constants = [each for each in node.all_input_nodes if trace.is_constant(each)]
    if is_call(node, *_SCALED):
        is_linear = len(data) == 1 and trace.is_data(node.args[0]) | is_call(node, aten.mul.Tensor)
    elif is_call(node, *_SUMS):
        is_linear = len(node.args) == 2 and all(trace.is_data(each) for each in node.args)
    elif is_call(node, aten.index.Tensor, aten.index_select.default):
        is_linear = len(data) == 1
    else:
        is_linear = not constants and (is_getitem(node) or node.target in _MOVES)
    if not is_linear:
        return None
    tables += constants
    return data


def _resembles(input: Node, output: Node) -> bool:
    """Whether two nodes are real tensors of one shape, features last, with one row a token."""
    value = input.meta.get("val")
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return False
    sizes = _sizes(input)
    return sizes == _sizes(output) and sizes.count(None) == 1 and sizes[-1] is not None


def _sizes(node: Node) -> tuple[int | None, ...]:
    """A node's sizes; None for the number of tokens."""
    return tuple(size if isinstance(size, int) else None for size in shape_of(node))


def _is_per_token(table: Node) -> bool:
    return any(isinstance(size, torch.SymInt) for size in shape_of(table))
