"""A norm of its own for every head, each with its weight: heads apart, normed, joined again."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from headrace.checkpoint.binding import Binding
from headrace.frontend.emitter import Emitter
from headrace.frontend.rules import CannotLowerError, Rule, structure
from headrace.frontend.trace import Trace, arguments, aten, is_call, is_getitem, shape_of
from headrace.frontend.values import Axis, Value
from headrace.ir.norm_op import NormKind, NormOp

_KINDS: dict[object, NormKind] = {aten.layer_norm.default: "layer", aten.rms_norm.default: "rms"}


@structure(aten.cat.default)
def norms_by_head(trace: Trace, node: Node) -> Rule | None:
    """`cat([norm_0(x_0), norm_1(x_1), ...])` of the heads `x_0, x_1, ...` of x."""
    norms = [trace.source(each) for each in arguments(node)["tensors"]]
    if not all(is_call(each, *_KINDS) for each in norms):
        return None
    given = [arguments(each) for each in norms]
    dim = arguments(node)["dim"] % len(shape_of(node))
    whole = _whole(trace, [each["input"] for each in given], dim)
    if whole is None or len({each.target for each in norms}) != 1:
        return None
    if len({(each["eps"], *each["normalized_shape"]) for each in given}) != 1:
        return None
    weight = _joined(trace, [each["weight"] for each in given])
    bias = _joined(trace, [each.get("bias") for each in given])
    kind, epsilon = _KINDS[norms[0].target], given[0]["eps"]
    if epsilon is None:
        epsilon = torch.finfo(node.meta["val"].dtype).eps

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (input,) = values
        if input.axes[dim] != Axis(1) or input.axes[-1] != Axis(2) or len(input.features) != 2:
            raise CannotLowerError("norms of single parts of something else than heads")
        scaling, added = (
            None if each is None else emitter.derived(each) for each in (weight, bias)
        )
        normed = NormOp(input.ssa, scaling, epsilon, kind=kind, bias=added)
        return Value(emitter.emit(normed), input.axes)

    return Rule((whole,), emit)


def _whole(trace: Trace, parts: list[Any], dim: int) -> Node | None:
    """What the parts are the single entries of, all and in order."""
    pieces = [part.args for part in parts if is_getitem(part)]
    if not pieces or pieces != [(pieces[0][0], place) for place in range(len(parts))]:
        return None
    split = pieces[0][0]
    if not is_call(split, aten.split.Tensor, aten.chunk.default):
        return None
    given = arguments(split)
    whole = given["self"]
    is_along = given["dim"] % len(shape_of(whole)) == dim
    return whole if is_along and shape_of(whole)[dim] == len(parts) else None


def _joined(trace: Trace, parameters: list[Any]) -> Binding | None:
    if all(each is None for each in parameters):
        return None
    names = [trace.parameter(each) for each in parameters]
    first, *others = (Binding(name) for name in names if name is not None)
    if len(others) + 1 != len(parameters):
        raise CannotLowerError("norms of single heads of which some have no parameter")
    return Binding(first.tensor, joined=tuple(others))
