"""Model operators of the `step` dialect: what a language model computes, in the field's terms.

Values are `tensor<?x...>`; the leading dimension counts the T tokens of a step (or the tokens whose
logits are wanted, after `select`). An integer-array attribute with one entry holds for every trip
of an enclosing loop; with more entries, entry i belongs to trip i.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    StringAttr,
    TensorType,
    f32,
    i1,
)
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import (
    Pure,
)

from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.checks import require, require_format
from headrace.ir.norm_op import NormOp
from headrace.ir.program_ops import FrequenciesOp, ProgramOp, ReturnOp, WeightOp, YieldOp
from headrace.ir.scalars import COMPARISONS, SCALAR_OPS, takes_and_gives
from headrace.ir.shapes import features_of, ids_type, matrix_shape, product, tokens_of, weight_shape
from headrace.ir.types import WeightType


@irdl_op_definition
class EmbeddingOp(IRDLOperation):
    """Row `ids[t]` of the table: `[T] x [entries, features] -> [T, features]`.

    The ids are the program's tokens, or its positions (learned positions).
    """

    name = "step.embedding"

    ids = operand_def(TensorType)
    table = operand_def(WeightType)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = "$ids `,` $table attr-dict `:` type($ids) `,` type($table) `->` type($result)"

    def __init__(self, ids: SSAValue, table: SSAValue) -> None:
        super().__init__(operands=[ids, table], result_types=[tokens_of(matrix_shape(table)[1])])

    def verify_(self) -> None:
        require(
            features_of(self.result) == matrix_shape(self.table)[1:],
            "embedding: the result's features are the table's columns",
        )


@irdl_op_definition
class LinearOp(IRDLOperation):
    """`y = x W^T (+ bias)`: `[T, cols] x [rows, cols] -> [T, rows]`; bias is a weight `[rows]`.

    `activation` is the format in which the input enters the product: "f32", or "q8" (8 bits with
    one scale per 32 features). It is set by choose-formats.
    """

    name = "step.linear"

    input = operand_def(TensorType)
    weight = operand_def(WeightType)
    bias = var_operand_def(WeightType)
    activation = opt_prop_def(StringAttr)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $weight (`bias` $bias^ `:` type($bias))? (`activation` $activation^)? attr-dict"
        " `:` type($input) `,` type($weight) `->` type($result)"
    )

    def __init__(self, input: SSAValue, weight: SSAValue, bias: SSAValue | None = None) -> None:
        super().__init__(
            operands=[input, weight, [] if bias is None else [bias]],
            result_types=[tokens_of(weight_shape(weight)[0])],
        )

    def verify_(self) -> None:
        rows, cols = matrix_shape(self.weight)
        require(features_of(self.input) == (cols,), f"linear: the input needs {cols} features")
        require(features_of(self.result) == (rows,), f"linear: the result has {rows} features")
        require(
            all(weight_shape(bias) == (rows,) for bias in self.bias) and len(self.bias) <= 1,
            f"linear: at most one bias, of {rows} entries",
        )
        require_format("linear: activation", self.activation, ("f32", "q8"))


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """Another view of each token's features: `[T, 576] <-> [T, 9, 64]`."""

    name = "step.reshape"

    input = operand_def(TensorType)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue, features: Sequence[int]) -> None:
        super().__init__(operands=[input], result_types=[tokens_of(*features)])

    def verify_(self) -> None:
        require(
            product(features_of(self.input)) == product(features_of(self.result)),
            "reshape: the number of features must not change",
        )


@irdl_op_definition
class MapOp(IRDLOperation):
    """Scalar arithmetic on every element of tensors of one shape; the region says which.

    The region has one f32 argument an operand, holds f32 constants and `SCALAR_OPS`, and ends
    in `yield`.
    """

    name = "step.map"

    inputs = var_operand_def(TensorType)
    body = region_def("single_block")
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = "$inputs attr-dict-with-keyword `:` type($inputs) `->` type($result) $body"

    def __init__(self, inputs: Sequence[SSAValue], body: Region) -> None:
        super().__init__(operands=[list(inputs)], regions=[body], result_types=[inputs[0].type])

    @property
    def block(self) -> Block:
        return self.body.block

    def verify_(self) -> None:
        require(bool(self.inputs), "map: at least one input")
        require(
            all(value.type == self.result.type for value in self.inputs),
            "map: inputs and result have one type",
        )
        require(
            [argument.type for argument in self.block.args] == [f32] * len(self.inputs),
            "map: the region has one f32 argument an input",
        )
        require(isinstance(self.block.last_op, YieldOp), "map: the region ends in step.yield")
        for op in self.block.ops:
            _require_scalar(op)


def _require_scalar(op: Operation) -> None:
    is_constant = isinstance(op, arith.ConstantOp)
    require(
        is_constant or isinstance(op, (*SCALAR_OPS, YieldOp)),
        f"map: {op.name} is no scalar operator of a map; there are arith.constant, "
        + ", ".join(each.name for each in SCALAR_OPS),
    )
    takes, gives = takes_and_gives(op)
    require(
        [value.type for value in op.operands] == takes
        and [value.type for value in op.results] == gives,
        f"map: {op.name} takes and gives {'f32' if i1 not in takes + gives else 'f32 and i1'}",
    )
    if isinstance(op, arith.CmpfOp):
        require(
            op.predicate.value.data in COMPARISONS.values(),
            f"map: {op.name} compares by one of {', '.join(COMPARISONS)}",
        )


@irdl_op_definition
class SelectOp(IRDLOperation):
    """The rows `outputs` of a value: of T tokens, those whose logits are wanted."""

    name = "step.select"

    input = operand_def(TensorType)
    outputs = operand_def(TensorType)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $outputs attr-dict `:` type($input) `,` type($outputs) `->` type($result)"
    )

    def __init__(self, input: SSAValue, outputs: SSAValue) -> None:
        super().__init__(operands=[input, outputs], result_types=[input.type])

    def verify_(self) -> None:
        require(self.input.type == self.result.type, "select: input and result have one type")


@irdl_op_definition
class SampleOp(IRDLOperation):
    """The next token of each row of logits, by the sampling parameters of its request.

    The interpreter takes the largest logit (the lowest index among equals): temperature zero.
    """

    name = "step.sample"

    logits = operand_def(TensorType)
    result = result_def(TensorType)

    assembly_format = "$logits attr-dict `:` type($logits) `->` type($result)"

    def __init__(self, logits: SSAValue) -> None:
        super().__init__(operands=[logits], result_types=[ids_type()])

    def verify_(self) -> None:
        require(len(features_of(self.logits)) == 1, "sample: the logits are [T, vocabulary]")
        require(self.result.type == ids_type(), "sample: the result is tensor<?xi32>")


def entries_per_trip(op: Operation) -> int:
    """Entries of an operator's attribute that may differ from trip to trip; 1 without one."""
    match op:
        case WeightOp():
            return len(op.names())
        case AppendOp():
            return len(op.layers.data)
        case AttentionOp():
            return len(op.windows.data)
        case RopeOp():
            return len(op.tables)
        case _:
            return 1


MODEL_OPS = (
    FrequenciesOp,
    WeightOp,
    EmbeddingOp,
    LinearOp,
    NormOp,
    ReshapeOp,
    RopeOp,
    AppendOp,
    AttentionOp,
    MapOp,
    SelectOp,
    SampleOp,
    YieldOp,
    ReturnOp,
    ProgramOp,
)
