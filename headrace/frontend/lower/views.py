"""Views: they change where dimensions lie, and cost a `reshape` only where features regroup."""

from __future__ import annotations

from math import prod
from operator import getitem
from typing import Any

from torch.fx import Node

from headrace.frontend.emitter import Emitter
from headrace.frontend.regroup import Group, Size, group_dimensions
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.trace import Trace, arguments, aten, shape_of
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


@operator(aten.transpose.int, aten.permute.default, aten.t.default)
def permute(trace: Trace, node: Node) -> Rule:
    order = _order(node)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (value,) = values
        return Value(value.ssa, tuple(value.axes[index] for index in order))

    return Rule((_input(node),), emit)


def _order(node: Node) -> list[int]:
    """For each dimension of the result, the dimension of the input."""
    given = arguments(node)
    rank = len(shape_of(node))
    if "dims" in given:
        return [dim % rank for dim in given["dims"]]
    order = list(range(rank))
    first, second = given.get("dim0", 0) % rank, given.get("dim1", 1) % rank
    order[first], order[second] = order[second], order[first]
    return order


@operator(aten.unsqueeze.default)
def unsqueeze(trace: Trace, node: Node) -> Rule:
    position = arguments(node)["dim"] % len(shape_of(node))

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (value,) = values
        return Value(value.ssa, (*value.axes[:position], ONE, *value.axes[position:]))

    return Rule((_input(node),), emit)


@operator(aten.expand.default)
def expand(trace: Trace, node: Node) -> Rule:
    after = shape_of(node)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (value,) = values
        axes = (ONE,) * (len(after) - len(value.axes)) + value.axes
        return Value(value.ssa, tuple(map(_expanded, axes, after)))

    return Rule((_input(node),), emit)


def _expanded(axis: Axis, size: Size) -> Axis:
    if axis != ONE:
        return axis
    if not isinstance(size, int):
        raise CannotLowerError("something repeated for every token")
    return Axis(None, size)


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
        return Value(values[0].ssa, tuple(axes))

    return Rule((_input(node),), emit)


@operator(
    aten.slice.Tensor,
    aten.select.int,
    aten.chunk.default,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.cat.default,
    aten.stack.default,
)
def refuse_parts(trace: Trace, node: Node) -> Rule:
    raise CannotLowerError(
        "only a part of a tensor is used, or parts are joined, outside of a full rotation",
        "partial or interleaved rotary embeddings and fused projections cannot be lowered",
    )


@operator(getitem)
def one_of_several(trace: Trace, node: Node) -> Rule:
    """Whether several results can be had is for the operator that makes them to say."""
    return Rule((_input(node),), lambda _, values: values[0])


def _input(node: Node) -> Any:
    return node.args[0]


def regroup(
    emitter: Emitter, value: Value, before: tuple[Size, ...], after: tuple[Size, ...]
) -> Value:
    """The value viewed with the sizes `after`; emits a `reshape` if its features regroup."""
    groups = group_dimensions(value.axes, before, after)
    features: list[int] = []
    in_program_order = sorted(range(len(groups)), key=lambda position: groups[position].first)
    placed = {position: _place(groups[position], value, features) for position in in_program_order}
    ssa = value.ssa
    if tuple(features) != value.features:
        shape = "flat" if len(features) == 1 else "heads"
        ssa = emitter.emit(ReshapeOp(ssa, features), f"{ssa.name_hint}_{shape}")
    return Value(ssa, tuple(axis for position in sorted(placed) for axis in placed[position]))


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
