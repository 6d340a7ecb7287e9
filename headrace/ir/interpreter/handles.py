"""How a worker names the values that stages exchange."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import TensorType, f32
from xdsl.ir import Attribute, BlockArgument, OpResult, SSAValue
from xdsl.utils.hints import isa

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AttentionOp
from headrace.ir.interpreter.arrays import Array, Ints
from headrace.ir.interpreter.inputs import StepInputs
from headrace.ir.interpreter.memory import Instance, Place, Wide
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import ReshapeOp, SelectOp
from headrace.ir.shapes import features_of


@dataclass(frozen=True, slots=True)
class Handle:
    """Where a value is.

    shape: rows and features (of the cache: the layer's number alone).
    partial_shape: of a softmax's partial result, (rows, heads, value head + 2): what each worker
        keeps; of partial sums it is the shape.
    """

    instance: Instance
    place: Place
    shape: tuple[int, ...]
    is_float: bool = True
    partial_shape: tuple[int, ...] = ()

    @property
    def layer(self) -> int:
        return self.shape[0]

    def array(self, flat: Wide) -> Array:
        """A value's array from a buffer's elements."""
        kind = np.float32 if self.is_float else np.int32
        with np.errstate(invalid="ignore"):
            return flat.reshape(self.shape).astype(kind)


def is_float(value: SSAValue) -> bool:
    return isa(value.type, TensorType[Attribute]) and value.type.element_type == f32


def row_count(value: SSAValue, inputs: StepInputs) -> int:
    """The leading dimension of a value: the step's tokens, or the wanted outputs."""
    owner = value.owner
    if isinstance(owner, SelectOp):
        return len(inputs.outputs)
    if isinstance(value, BlockArgument):
        loop = value.block.parent_op()
        is_carried = isinstance(loop, LoopOp)
        return row_count(loop.inits[value.index], inputs) if is_carried else len(inputs.tokens)
    if isinstance(value, OpResult):
        return row_count(_first_source(value), inputs)
    raise ProgramError("a value without an operator", where=str(value))


def _first_source(value: OpResult) -> SSAValue:
    owner = value.owner
    if isinstance(owner, StageOp):
        return owner.yielded[value.index]
    return owner.operands[value.index if isinstance(owner, LoopOp) else 0]


def attention_behind(value: SSAValue) -> AttentionOp:
    """The attention of which a partial result is a view."""
    owner = value.owner
    if isinstance(owner, AttentionOp):
        return owner
    if isinstance(owner, ReshapeOp):
        return attention_behind(owner.input)
    raise ProgramError("a partial result is an attention's, reshaped at most", where=str(value))


def partial_shape(attention: AttentionOp, rows: int) -> tuple[int, ...]:
    heads, value_head = features_of(attention.result)
    return rows, heads, value_head + 2


def token_rows(inputs: StepInputs, sequence: int, positions: Ints) -> Ints:
    """The step's tokens that are entries of a sequence at some of these positions."""
    mine = (inputs.sequences == sequence) & np.isin(inputs.positions, positions)
    return np.flatnonzero(mine).astype(np.int32)
