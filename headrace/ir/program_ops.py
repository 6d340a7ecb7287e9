"""What a `step` program is made of beside its operators: constants, yields, the program itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    StringAttr,
    SymbolNameConstraint,
)
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import (
    IsTerminator,
    Pure,
    SymbolOpInterface,
)

from headrace.ir.attention_ops import RopeOp
from headrace.ir.checks import require, require_entries, require_one
from headrace.ir.literals import IntsAttr, RealsAttr
from headrace.ir.shapes import features_of, ids_type
from headrace.ir.types import WeightType


@irdl_op_definition
class FrequenciesOp(IRDLOperation):
    """A rotary table: angle[i] = position * values[i] radians, cosines and sines times `scale`.

    With `beyond`, a program that is loaded for a context of more than `beyond` positions takes
    `long_values` and `long_scale` instead, at every position. Source: LongRoPE, Ding et al. 2024.
    """

    name = "step.frequencies"

    sym_name = prop_def(SymbolNameConstraint())
    values = prop_def(RealsAttr)
    scale = prop_def(RealsAttr)
    beyond = opt_prop_def(IntsAttr)
    long_values = opt_prop_def(RealsAttr)
    long_scale = opt_prop_def(RealsAttr)

    traits = traits_def(SymbolOpInterface())
    assembly_format = (
        "$sym_name $values `scale` $scale"
        " (`beyond` $beyond^ `values` $long_values `scale` $long_scale)? attr-dict"
    )

    def __init__(
        self,
        sym_name: str,
        values: Sequence[float],
        scale: float = 1.0,
        *,
        beyond: int | None = None,
        long_values: Sequence[float] | None = None,
        long_scale: float | None = None,
    ) -> None:
        properties: dict[str, Attribute] = {
            "sym_name": StringAttr(sym_name),
            "values": RealsAttr.of(values),
            "scale": RealsAttr.of([scale]),
        }
        if beyond is not None:
            properties["beyond"] = IntsAttr.of([beyond])
        if long_values is not None:
            properties["long_values"] = RealsAttr.of(long_values)
        if long_scale is not None:
            properties["long_scale"] = RealsAttr.of([long_scale])
        super().__init__(properties=properties)

    def at_context(self, context: int) -> tuple[tuple[float, ...], float]:
        """Frequencies and scale of a program that is loaded for `context` positions."""
        if self.beyond is None or context <= self.beyond.data[0]:
            return self.values.data, self.scale.only
        assert self.long_values is not None
        assert self.long_scale is not None
        return self.long_values.data, self.long_scale.only

    def verify_(self) -> None:
        require_one("frequencies: scale", self.scale)
        long = (self.beyond, self.long_values, self.long_scale)
        require(
            all(each is None for each in long) or all(each is not None for each in long),
            "frequencies: beyond, long values and long scale belong together",
        )
        if self.beyond is None or self.long_values is None or self.long_scale is None:
            return
        require_one("frequencies: beyond and scale", self.beyond, self.long_scale)
        require(
            len(self.long_values.data) == len(self.values.data),
            "frequencies: as many long values as values",
        )


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A constant of the model, by the name of its PyTorch parameter or buffer.

    Where only some rows of the parameter are used, or its transpose, the name is derived from the
    parameter's: `h.0.attn.c_attn.weight[0:768]`.

    With `layers`, `{}` in the name stands for the layer number of the enclosing loop's trip.
    """

    name = "step.weight"

    weight_name = prop_def(StringAttr)
    layers = opt_prop_def(IntsAttr)
    result = result_def(WeightType)

    traits = traits_def(Pure())
    assembly_format = "$weight_name (`layers` $layers^)? attr-dict `:` type($result)"

    def __init__(
        self, weight_name: str, type: WeightType, layers: Sequence[int] | None = None
    ) -> None:
        properties: dict[str, Attribute] = {"weight_name": StringAttr(weight_name)}
        if layers is not None:
            properties["layers"] = IntsAttr.of(layers)
        super().__init__(properties=properties, result_types=[type])

    def names(self) -> tuple[str, ...]:
        """The checkpoint names, one a trip (one in all outside of loops)."""
        pattern = self.weight_name.data
        if self.layers is None:
            return (pattern,)
        return tuple(pattern.replace("{}", str(layer)) for layer in self.layers.data)

    def verify_(self) -> None:
        require_entries("weight: layers", len(self.names()))
        has_hole = "{}" in self.weight_name.data
        require(
            has_hole == (self.layers is not None),
            f"weight {self.weight_name.data!r}: '{{}}' and 'layers' belong together",
        )


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a region of `map`, `loop` or `stage` and gives its results."""

    name = "step.yield"

    values = var_operand_def(AnyAttr())

    traits = traits_def(IsTerminator())
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, values: Sequence[SSAValue] = ()) -> None:
        super().__init__(operands=[list(values)])


@irdl_op_definition
class ReturnOp(IRDLOperation):
    """Ends a program and gives its results: the logits, and the next tokens."""

    name = "step.return"

    values = var_operand_def(AnyAttr())

    traits = traits_def(IsTerminator())
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, values: Sequence[SSAValue] = ()) -> None:
        super().__init__(operands=[list(values)])


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """One step of a model: T tokens in, logits and next tokens out.

    The block's arguments are `tokens`, `positions` and `sequences`, one i32 for each of T tokens,
    and `outputs`, the indices of the tokens whose logits are wanted. `context` is the largest
    number of positions the model was made for.
    """

    name = "step.program"

    sym_name = prop_def(SymbolNameConstraint())
    context = prop_def(IntsAttr)
    body = region_def("single_block")

    traits = traits_def(SymbolOpInterface())
    assembly_format = "$sym_name `context` $context attr-dict-with-keyword $body"

    def __init__(self, sym_name: str, context: int, body: Region) -> None:
        super().__init__(
            properties={"sym_name": StringAttr(sym_name), "context": IntsAttr.of([context])},
            regions=[body],
        )

    @staticmethod
    def entry_block() -> Block:
        """An empty block with a program's four arguments."""
        return Block(arg_types=[ids_type()] * 4)

    @property
    def block(self) -> Block:
        return self.body.block

    @property
    def context_length(self) -> int:
        return self.context.data[0]

    @property
    def tokens(self) -> SSAValue:
        return self.block.args[0]

    @property
    def positions(self) -> SSAValue:
        return self.block.args[1]

    @property
    def sequences(self) -> SSAValue:
        return self.block.args[2]

    @property
    def outputs(self) -> SSAValue:
        return self.block.args[3]

    def verify_(self) -> None:
        require(
            [argument.type for argument in self.block.args] == [ids_type()] * 4,
            "program: the arguments are tokens, positions, sequences and outputs (tensor<?xi32>)",
        )
        require(isinstance(self.block.last_op, ReturnOp), "program: the body ends in step.return")
        require_one("program: context", self.context)
        if self.parent is not None:
            self._verify_tables(self.parent)

    def _verify_tables(self, module: Block) -> None:
        sizes = {
            op.sym_name.data: len(op.values.data)
            for op in module.ops
            if isinstance(op, FrequenciesOp)
        }
        for op in self.body.walk():
            if isinstance(op, RopeOp):
                _verify_rope(op, sizes)


def _verify_rope(op: RopeOp, sizes: Mapping[str, int]) -> None:
    head = features_of(op.result)[-1]
    for name in op.table_names():
        require(name in sizes, f"rope: there is no step.frequencies @{name}")
        size = sizes[name]
        require(
            2 * size <= head,
            f"rope: a head of {head} features has no room for {size} frequencies, @{name}",
        )
    counts = {sizes[name] for name in op.table_names()}
    require(len(counts) == 1, "rope: its tables have one number of frequencies")
