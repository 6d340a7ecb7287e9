"""Views: they change where dimensions lie, and cost a `reshape` only where features regroup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch.fx import Node
from xdsl.ir import SSAValue

from headrace.frontend.emitter import Emitter
from headrace.frontend.product import Product
from headrace.frontend.regroup import Group, Size, group_dimensions
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.trace import Trace, arguments, aten, is_call, shape_of
from headrace.frontend.values import ONE, Axis, Value
from headrace.ir.model_ops import ReshapeOp


@operator(
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.flatten.using_ints,
    aten.unflatten.int,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
)
def view(trace: Trace, node: Node) -> Rule:
    before, after = shape_of(node.args[0]), shape_of(node)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        return regroup(emitter, values[0], before, after)

    return Rule((_input(node),), emit)


PERMUTATIONS = (
    aten.transpose.int,
    aten.permute.default,
    aten.t.default,
    aten.numpy_T.default,
    aten.mT.default,
    aten.swapaxes.default,
)


@operator(*PERMUTATIONS)
def permute(trace: Trace, node: Node) -> Rule:
    order = dimension_order(node)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (value,) = values
        return Value(value.source, tuple(value.axes[index] for index in order))

    return Rule((_input(node),), emit)


def dimension_order(node: Node) -> list[int]:
    """For each dimension of the result, the dimension of the input."""
    given = arguments(node)
    rank = len(shape_of(node))
    if "dims" in given:
        return [dim % rank for dim in given["dims"]]
    order = list(range(rank))  # those without dimensions swap the last two, or reverse all
    if is_call(node, aten.numpy_T.default):
        return order[::-1]
    if is_call(node, aten.swapaxes.default):
        given = {"dim0": given["axis0"], "dim1": given["axis1"]}
    first, second = given.get("dim0", rank - 2) % rank, given.get("dim1", rank - 1) % rank
    order[first], order[second] = order[second], order[first]
    return order


@operator(aten.unsqueeze.default)
def unsqueeze(trace: Trace, node: Node) -> Rule:
    position = arguments(node)["dim"] % len(shape_of(node))

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (value,) = values
        return Value(value.source, (*value.axes[:position], ONE, *value.axes[position:]))

    return Rule((_input(node),), emit)


@operator(aten.expand.default, aten.broadcast_to.default)
def expand(trace: Trace, node: Node) -> Rule:
    before, after = shape_of(node.args[0]), shape_of(node)
    lead = len(after) - len(before)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (value,) = values
        for position, size in enumerate(before):
            if size == 1 and after[lead + position] != 1:
                value = without_feature(emitter, value, position)
        axes = (ONE,) * lead + value.axes
        return Value(value.source, tuple(map(_expanded, axes, after)))

    return Rule((_input(node),), emit)


def _expanded(axis: Axis, size: Size) -> Axis:
    if axis != ONE:
        return axis
    if not isinstance(size, int):
        raise CannotLowerError("something repeated for every token")
    return Axis(None, size)


def without_feature(emitter: Emitter, value: Value, position: int) -> Value:
    """A dimension of size one no longer holds a feature: all its entries are the same."""
    index = value.axes[position].index
    if index is None:
        return value
    features = [size for dim, size in enumerate(value.features, 1) if dim != index]
    axes = [
        replace(axis, index=axis.index - 1) if axis.index and axis.index > index else axis
        for axis in value.axes
    ]
    axes[position] = ONE
    return Value(reshaped(emitter, value, features), tuple(axes))


@operator(aten.repeat_interleave.self_int)
def repeat_interleave(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    if given["dim"] is None:
        raise CannotLowerError("a repetition that mixes tokens with features")
    position = given["dim"] % len(shape_of(node))

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        axes = list(values[0].axes)
        repeated = axes[position]
        axes[position] = Axis(repeated.index, repeated.repeat * given["repeats"])
        return Value(values[0].source, tuple(axes))

    return Rule((_input(node),), emit)


@operator(aten.cat.default, aten.stack.default)
def refuse_joined(trace: Trace, node: Node) -> Rule:
    raise CannotLowerError("parts of tensors are joined, outside of a rotation")


def _input(node: Node) -> Any:
    return node.args[0]


def regroup(
    emitter: Emitter, value: Value, before: tuple[Size, ...], after: tuple[Size, ...]
) -> Value:
    """The value viewed with the sizes `after`; emits a `reshape` if its features regroup."""
    value = _in_order(value)
    groups = group_dimensions(value.axes, before, after)
    features: list[int] = []
    in_program_order = sorted(range(len(groups)), key=lambda position: groups[position].first)
    placed = {position: _place(groups[position], value, features) for position in in_program_order}
    source = reshaped(emitter, value, features)
    return Value(source, tuple(axis for position in sorted(placed) for axis in placed[position]))


def reshaped(emitter: Emitter, value: Value, features: Sequence[int]) -> SSAValue | Product:
    """The value's source with other features."""
    if tuple(features) == value.features:
        return value.source
    if isinstance(value.source, Product):
        return value.source.viewed(value.source.rows.reshape(features))
    shape = "flat" if len(features) == 1 else "heads"
    return emitter.emit(ReshapeOp(value.ssa, features), f"{value.ssa.name_hint}_{shape}")


def _in_order(value: Value) -> Value:
    """A product's rows in the order of the tensor's dimensions; any other value as it is."""
    own = [axis.index for axis in value.axes if axis.index]
    if not isinstance(value.source, Product) or own == sorted(own):
        return value
    rows = value.source.rows.transpose([index - 1 for index in own])
    places = {index: place for place, index in enumerate(own, 1)}
    axes = [replace(axis, index=places.get(axis.index or 0, axis.index)) for axis in value.axes]
    return Value(value.source.viewed(rows), tuple(axes))


def _place(group: Group, value: Value, features: list[int]) -> tuple[Axis, ...]:
    """The group's axes after the view; its program features are appended to `features`."""
    if group.axes == ():
        return (ONE,) * len(group.sizes)
    if group.first <= 0 and len(group.axes) == len(group.sizes) == 1:
        return group.axes
    start = len(features) + 1
    if len(group.sizes) == 1 and _is_repeated(group):
        features.append(value.features[group.first - 1])
        return (Axis(start, prod(axis.repeat for axis in group.axes)),)
    expected = tuple(Axis(group.first + offset) for offset in range(len(group.axes)))
    if group.axes != expected:
        raise CannotLowerError("a view that reorders features")
    features += [int(size) for size in group.sizes]
    return tuple(Axis(start + offset) for offset in range(len(group.sizes)))


def _is_repeated(group: Group) -> bool:
    """Whether the group is one program dimension, its entries repeated."""
    first, *others = group.axes
    return first.index is not None and all(axis.index is None for axis in others)
