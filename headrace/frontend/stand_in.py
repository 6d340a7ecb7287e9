"""Values in the place of what cannot be lowered, so that the search for more can go on."""

from __future__ import annotations

import torch
from torch.fx import Node
from xdsl.dialects.test import TestOp

from headrace.frontend.emitter import Emitter
from headrace.frontend.trace import shape_of
from headrace.frontend.values import ONE, TOKENS, Axis, Value
from headrace.ir.shapes import tokens_of


def stand_in(emitter: Emitter, node: Node) -> Value | None:
    """A value `[T, features...]` of a node's sizes; None unless it has one row a token.

    It is what the node's value most likely looks like. No program with one leaves the frontend.
    """
    if not isinstance(node.meta.get("val"), torch.Tensor):
        return None
    axes: list[Axis] = []
    features: list[int] = []
    for size in shape_of(node):
        if isinstance(size, torch.SymInt):
            axes.append(TOKENS)
        elif size == 1 and not features:
            axes.append(ONE)
        else:
            features.append(size)
            axes.append(Axis(len(features)))
    if axes.count(TOKENS) != 1:
        return None
    operation = TestOp(result_types=[tokens_of(*features)])
    emitter.append(operation)
    return Value(operation.results[0], tuple(axes))
