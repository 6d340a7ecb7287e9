"""Element-wise arithmetic: each operator becomes a `map`; `tidy` merges chains of them."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node
from xdsl.dialects.builtin import f32
from xdsl.ir import Block, Region, SSAValue

from headrace.frontend.emitter import Emitter
from headrace.frontend.lower.formulas import FORMULAS
from headrace.frontend.match import number
from headrace.frontend.product import Product
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.scalars import Scalars
from headrace.frontend.trace import Trace, arguments
from headrace.frontend.values import ONE, Axis, Value
from headrace.ir.model_ops import MapOp
from headrace.ir.program_ops import YieldOp

#: Arguments that take part in the arithmetic as elements.
_ELEMENTS = ("condition", "self", "mask", "other")


@operator(*FORMULAS)
def elementwise(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    elements = [_operand(trace, given.pop(name)) for name in _ELEMENTS if name in given]
    inputs = tuple(dict.fromkeys(each for each in elements if isinstance(each, Node)))
    formula = FORMULAS[node.target]

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        axes = _common_axes(values)
        block = Block(arg_types=[f32] * len(values))
        scalars = Scalars(block)
        arguments_of = dict(zip(inputs, block.args, strict=True))
        operands = [
            arguments_of[each] if isinstance(each, Node) else scalars.constant(each)
            for each in elements
        ]
        block.add_op(YieldOp([formula(scalars, *operands, **given)]))
        return Value(_mapped(emitter, values, Region(block)), axes)

    return Rule(inputs, emit)


def _mapped(emitter: Emitter, values: tuple[Value, ...], region: Region) -> SSAValue | Product:
    """The map; of a product alone one to come, so that parts can still be taken."""
    first, *others = values
    if others or not isinstance(first.source, Product):
        return emitter.emit(MapOp([value.ssa for value in values], region))
    hint = emitter.hint

    def apply(part: SSAValue) -> SSAValue:
        return emitter.emit(MapOp([part], region.clone()), hint)

    return first.source.mapped(apply)


def _operand(trace: Trace, operand: Any) -> Node | float:
    """A number, or the node of a tensor."""
    constant = number(trace, operand)
    if constant is not None:
        return constant
    if trace.parameter(operand) is not None:
        raise CannotLowerError("arithmetic with a parameter outside of a norm or a product")
    if not trace.is_data(operand):
        raise CannotLowerError("arithmetic with a table of positions that is not a rotation")
    kind = operand.meta["val"].dtype
    if not (kind.is_floating_point or kind is torch.bool):
        raise CannotLowerError("arithmetic on integers")
    return operand


def _common_axes(values: tuple[Value, ...]) -> tuple[Axis, ...]:
    """The axes of the result, if all operands lie alike in memory."""
    rank = max(len(value.axes) for value in values)
    aligned = {(ONE,) * (rank - len(value.axes)) + value.axes for value in values}
    is_alone = len(values) == 1
    if len(aligned) != 1 or not (is_alone or len({value.ssa.type for value in values}) == 1):
        raise CannotLowerError("arithmetic on tensors of different layouts")
    (axes,) = aligned
    if any(axis.repeat != 1 for axis in axes):
        raise CannotLowerError("arithmetic on repeated heads")
    return axes
