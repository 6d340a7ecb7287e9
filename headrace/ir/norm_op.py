"""The norms of the `step` dialect."""

from __future__ import annotations

from typing import Literal

from xdsl.dialects.builtin import StringAttr, TensorType
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure

from headrace.ir.checks import require, require_format, require_one
from headrace.ir.literals import RealsAttr
from headrace.ir.shapes import features_of, product, weight_shape
from headrace.ir.types import WeightType

#: How a norm measures a row: by its root mean square, or by its mean and standard deviation.
NormKind = Literal["rms", "layer"]


@irdl_op_definition
class NormOp(IRDLOperation):
    """Norm over the last dimension.

    `kind` "rms": `y = x / sqrt(mean(x^2) + epsilon) * (weight + offset)`; "layer":
    `y = (x - mean(x)) / sqrt(var(x) + epsilon) * (weight + offset) + bias`, with the biased
    variance. Without a weight the factor is 1. Weight and bias have one entry a normalised
    feature, or, of an input `[T, heads, head]`, one a feature of each head (heads first). `offset`
    is 1 in models that store the weight's difference from one. Sources: Zhang and Sennrich 2019;
    Ba, Kiros and Hinton 2016.
    """

    name = "step.norm"

    input = operand_def(TensorType)
    weight = opt_operand_def(WeightType)
    bias = opt_operand_def(WeightType)
    kind = prop_def(StringAttr, default_value=StringAttr("rms"))
    epsilon = prop_def(RealsAttr)
    offset = prop_def(RealsAttr)
    result = result_def(TensorType)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$input (`,` $weight^)? (`bias` $bias^ `:` type($bias))? (`kind` $kind^)?"
        " `epsilon` $epsilon `offset` $offset attr-dict"
        " `:` type($input) (`,` type($weight)^)? `->` type($result)"
    )

    def __init__(
        self,
        input: SSAValue,
        weight: SSAValue | None,
        epsilon: float,
        offset: float = 0.0,
        *,
        kind: NormKind = "rms",
        bias: SSAValue | None = None,
    ) -> None:
        super().__init__(
            operands=[input, [] if weight is None else [weight], [] if bias is None else [bias]],
            properties={
                "kind": StringAttr(kind),
                "epsilon": RealsAttr.of([epsilon]),
                "offset": RealsAttr.of([offset]),
            },
            result_types=[input.type],
        )

    @property
    def is_layer(self) -> bool:
        """Whether the mean is taken away too: `kind` is "layer"."""
        return self.kind.data == "layer"

    def verify_(self) -> None:
        require(self.input.type == self.result.type, "norm: input and result have one type")
        require_one("norm: epsilon and offset", self.epsilon, self.offset)
        require_format("norm: kind", self.kind, ("rms", "layer"))
        require(self.bias is None or self.is_layer, "norm: only the kind 'layer' has a bias")
        for vector in (self.weight, self.bias):
            if vector is not None:
                self._verify_vector(vector)

    def _verify_vector(self, vector: SSAValue) -> None:
        features = features_of(self.input)
        require(
            weight_shape(vector) in (features[-1:], (product(features),)),
            "norm: weight and bias have one entry a normalised feature, or one a feature of"
            " each head",
        )
