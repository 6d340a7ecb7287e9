"""Attention that a model writes out: `softmax(scores(query key^T)) value`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from headrace.frontend.lower.masks import fit_at_every_length
from headrace.frontend.lower.scores import Scores
from headrace.frontend.positions import evaluate_among
from headrace.frontend.rules import CannotLowerError
from headrace.frontend.trace import Trace, arguments, aten, is_call, shape_of

_PRODUCTS = aten.matmul.default, aten.bmm.default, aten.baddbmm.default
#: Views that only merge or split dimensions before the last two, where the last two stay.
_VIEWS = (
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.expand.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.flatten.using_ints,
)


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """Attention of several nodes.

    Attributes:
        query, key, value: `[..., heads, T, head]`, the key's last two dimensions exchanged.
        product: of query and key. scored: what the softmax takes.
    """

    query: Node
    key: Node
    value: Node
    product: Node
    scored: Node
    leaves: tuple[Node, ...]

    def scores(self, trace: Trace) -> Scores:
        """What is done to the products before the softmax.

        Raises:
            CannotLowerError: something that AttentionOp does not do.
        """

        def score(products: torch.Tensor) -> torch.Tensor:
            tokens = products.shape[-1]
            given = self._biased(trace, products.reshape(_sized(self.product, tokens)))
            scored = evaluate_among(trace, self.scored, tokens, {self.product: given})
            return scored.reshape(products.shape)

        return fit_at_every_length(trace, score, shape_of(self.scored)[:-2], self.leaves)

    def _biased(self, trace: Trace, products: torch.Tensor) -> torch.Tensor:
        """The products as their own node gives them: `baddbmm` scales them and adds to them."""
        if not is_call(self.product, aten.baddbmm.default):
            return products
        given = arguments(self.product)
        bias = evaluate_among(trace, given["self"], products.shape[-1])
        return given["beta"] * bias + given["alpha"] * products


def find_written_out(trace: Trace, node: Node) -> WrittenOut | None:
    """The attention whose last product a node is; None if it is another product."""
    weights, value = node.args
    softmax = _without_views(trace, weights)
    if not is_call(softmax, aten.softmax.int):
        return None
    if arguments(softmax)["dim"] % len(shape_of(softmax)) != len(shape_of(softmax)) - 1:
        return None
    scored = trace.source(softmax.args[0])
    product, leaves = _behind(trace, scored)
    query, key = product.args[-2:]
    assert isinstance(query, Node)
    assert isinstance(key, Node)
    assert isinstance(value, Node)
    return WrittenOut(query, key, value, product, scored, leaves)


def _behind(trace: Trace, scored: Node) -> tuple[Node, tuple[Node, ...]]:
    """The product that scores are made of, and the constants that go into them.

    Raises:
        CannotLowerError: they are made of something else too.
    """
    products: dict[Node, None] = {}
    leaves: dict[Node, None] = {}
    stack, seen = [scored], set[Node]()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if is_call(node, *_PRODUCTS):
            products[node] = None
            leaves |= dict.fromkeys(_bias_of(trace, node))
        elif trace.is_data(node) and node.op == "call_function":
            stack += node.all_input_nodes
        elif trace.is_constant(node):
            leaves[node] = None
        elif trace.is_data(node):
            raise CannotLowerError("attention with scores that a parameter is part of")
    if len(products) != 1:
        raise CannotLowerError("attention with scores that are not of one product")
    (product,) = products
    return product, tuple(leaves)


def _bias_of(trace: Trace, product: Node) -> list[Node]:
    """The bias that `baddbmm` adds."""
    if not is_call(product, aten.baddbmm.default):
        return []
    bias: Any = product.args[0]
    if not trace.is_constant(bias):
        raise CannotLowerError("attention with a bias that depends on more than positions")
    return [bias]


def _without_views(trace: Trace, node: Any) -> Any:
    node = trace.source(node)
    while is_call(node, *_VIEWS) and shape_of(node)[-2:] == shape_of(node.args[0])[-2:]:
        node = trace.source(node.args[0])
    return node


def _sized(node: Node, tokens: int) -> tuple[int, ...]:
    """A node's sizes for a number of tokens."""
    return tuple(size if isinstance(size, int) else tokens for size in shape_of(node))
