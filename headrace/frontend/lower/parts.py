"""Parts of a tensor: slices and pieces of a product's result, which are products of their own."""

from __future__ import annotations

from itertools import accumulate
from operator import getitem
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from headrace.checkpoint.row_view import Indices
from headrace.frontend import positions
from headrace.frontend.emitter import Emitter
from headrace.frontend.lower.views import without_feature
from headrace.frontend.product import Product
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.trace import Trace, arguments, aten, is_call, shape_of
from headrace.frontend.values import Value

#: Operators that give equal or given lengths of a dimension, and one that gives its entries.
_PIECES = (
    aten.chunk.default,
    aten.split.Tensor,
    aten.split.sizes,
    aten.split_with_sizes.default,
    aten.tensor_split.sections,
    aten.tensor_split.indices,
    aten.unsafe_chunk.default,
    aten.unsafe_split.Tensor,
    aten.unsafe_split_with_sizes.default,
)


@operator(aten.slice.Tensor)
def sliced(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    length = _length(node, given["dim"])
    entries = np.arange(length)[given["start"] : given["end"] : given["step"]]
    return _part(given["self"], given["dim"], entries)


@operator(aten.narrow.default)
def narrowed(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    entries = np.arange(_length(node, given["dim"]))[given["start"] :][: given["length"]]
    return _part(given["self"], given["dim"], entries)


@operator(aten.select.int)
def selected(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    entries = np.arange(_length(node, given["dim"]))[[given["index"]]]
    return _part(given["self"], given["dim"], entries, drop=True)


@operator(aten.index_select.default)
def taken(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    return _part(given["self"], given["dim"], _entries(trace, node, given["dim"], given["index"]))


@operator(aten.index.Tensor)
def indexed(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    (dim, *others) = (dim for dim, each in enumerate(given["indices"]) if each is not None)
    if others:
        raise CannotLowerError("entries chosen along several dimensions at once")
    return _part(given["self"], dim, _entries(trace, node, dim, given["indices"][dim]))


@operator(getitem)
def one_of_several(trace: Trace, node: Node) -> Rule:
    """A piece; whether other results of several can be had is for their operator to say."""
    pieces, which = node.args
    if is_call(pieces, aten.unbind.int):
        given = arguments(pieces)
        return _part(given["self"], given["dim"], np.array([which]), drop=True)
    if not is_call(pieces, *_PIECES):
        return Rule((node.args[0],), lambda _, values: values[0])  # pyright: ignore[reportArgumentType]
    given = arguments(pieces)
    dim = given["dim"]
    _length(pieces, dim)
    ends = list(accumulate((each.shape[dim] for each in pieces.meta["val"]), initial=0))
    assert isinstance(which, int)
    return _part(given["self"], dim, np.arange(ends[which], ends[which + 1]))


def _length(node: Node, dim: int) -> int:
    length = shape_of(node.args[0])[dim]
    if isinstance(length, torch.SymInt):
        raise CannotLowerError("only some of the tokens are used")
    return length


def _entries(trace: Trace, node: Node, dim: int, index: Any) -> Indices:
    length = _length(node, dim)
    if not trace.is_constant(index) or len(shape_of(index)) != 1:
        raise CannotLowerError("entries chosen by numbers that are no constant list")
    _, numbers = positions.evaluate(trace, index)
    if numbers.dtype is torch.bool:
        return np.flatnonzero(numbers.numpy())
    return np.arange(length)[numbers.numpy()]


def _part(whole: Node, dim: int, entries: Indices, drop: bool = False) -> Rule:
    position = dim % len(shape_of(whole))

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        value = _taken(values[0], position, entries)
        if not drop:
            return value
        value = without_feature(emitter, value, position)
        return Value(value.source, (*value.axes[:position], *value.axes[position + 1 :]))

    return Rule((whole,), emit)


def _taken(value: Value, position: int, entries: Indices) -> Value:
    axis = value.axes[position]
    if axis.index is None and not entries.any():
        return value
    if not isinstance(value.source, Product) or not axis.index or axis.repeat != 1:
        raise CannotLowerError(
            "only a part of a tensor is used that is not the result of a product",
            "take parts of a projection's result before anything else is done with it",
        )
    rows = value.source.rows.take(entries, axis=axis.index - 1)
    return Value(value.source.viewed(rows), value.axes)
