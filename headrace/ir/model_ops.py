"""Model operators of the `step` dialect: what a language model computes, in the field's terms.

Values are `tensor<?x...>`; the leading dimension counts the T tokens of a step (or the tokens whose
logits are wanted, after `select`). An integer-array attribute with one entry holds for every trip
of an enclosing loop; with more entries, entry i belongs to trip i.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    ShapedType,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
    f32,
    i32,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
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
from xdsl.utils.exceptions import VerifyException

from headrace.ir.literals import IntsAttr, RealsAttr
from headrace.ir.scalars import SCALAR_OPS
from headrace.ir.types import CacheType, WeightType


def tokens_of(*features: int) -> TensorType[Attribute]:
    """The type of one float32 feature tensor a token: `tensor<?xAxBxf32>`."""
    return TensorType(f32, [DYNAMIC_INDEX, *features])


def ids_type() -> TensorType[Attribute]:
    """The type of one integer a token: `tensor<?xi32>`."""
    return TensorType(i32, [DYNAMIC_INDEX])


def features_of(value: SSAValue) -> tuple[int, ...]:
    """The dimensions of a value behind its token dimension."""
    if not isinstance(value.type, ShapedType):
        raise VerifyException(f"expected a tensor, got {value.type}")
    return value.type.get_shape()[1:]


def weight_shape(value: SSAValue) -> tuple[int, ...]:
    if not isinstance(value.type, WeightType):
        raise VerifyException(f"expected a weight, got {value.type}")
    return value.type.shape


def matrix_shape(value: SSAValue) -> tuple[int, int]:
    """Rows and columns of a weight that has both."""
    match weight_shape(value):
        case (rows, columns):
            return rows, columns
        case shape:
            raise VerifyException(f"expected a weight [rows, columns], got {list(shape)}")


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


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise VerifyException(message)


def _require_one(name: str, *attributes: RealsAttr | IntsAttr) -> None:
    if any(len(attribute.data) != 1 for attribute in attributes):
        raise VerifyException(f"{name}: expected one number")


def _require_entries(name: str, op: Operation) -> None:
    _require(entries_per_trip(op) > 0, f"{name}: expected one entry, or one a trip")


def _require_format(name: str, format: StringAttr | None, known: tuple[str, ...]) -> None:
    if format is not None and format.data not in known:
        raise VerifyException(f"{name}: unknown format {format.data!r}; one of {known}")


@irdl_op_definition
class FrequenciesOp(IRDLOperation):
    """A rotary table: angle[i] = position * values[i] radians, cosines and sines times `scale`."""

    name = "step.frequencies"

    sym_name = prop_def(SymbolNameConstraint())
    values = prop_def(RealsAttr)
    scale = prop_def(RealsAttr)

    traits = traits_def(SymbolOpInterface())
    assembly_format = "$sym_name $values `scale` $scale attr-dict"

    def __init__(self, sym_name: str, values: Sequence[float], scale: float = 1.0) -> None:
        super().__init__(
            properties={
                "sym_name": StringAttr(sym_name),
                "values": RealsAttr.of(values),
                "scale": RealsAttr.of([scale]),
            }
        )

    def verify_(self) -> None:
        _require_one("frequencies: scale", self.scale)


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A constant of the model, by the name of its PyTorch parameter or buffer.

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
        _require_entries("weight: layers", self)
        has_hole = "{}" in self.weight_name.data
        _require(
            has_hole == (self.layers is not None),
            f"weight {self.weight_name.data!r}: '{{}}' and 'layers' belong together",
        )


@irdl_op_definition
class EmbeddingOp(IRDLOperation):
    """Row `tokens[t]` of the table: `[T] x [vocabulary, features] -> [T, features]`."""

    name = "step.embedding"

    tokens = operand_def(TensorType)
    table = operand_def(WeightType)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$tokens `,` $table attr-dict `:` type($tokens) `,` type($table) `->` type($result)"
    )

    def __init__(self, tokens: SSAValue, table: SSAValue) -> None:
        super().__init__(operands=[tokens, table], result_types=[tokens_of(matrix_shape(table)[1])])

    def verify_(self) -> None:
        _require(
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
        _require(features_of(self.input) == (cols,), f"linear: the input needs {cols} features")
        _require(features_of(self.result) == (rows,), f"linear: the result has {rows} features")
        _require(
            all(weight_shape(bias) == (rows,) for bias in self.bias) and len(self.bias) <= 1,
            f"linear: at most one bias, of {rows} entries",
        )
        _require_format("linear: activation", self.activation, ("f32", "q8"))


@irdl_op_definition
class NormOp(IRDLOperation):
    """Root-mean-square norm over the last dimension.

    `y = x / sqrt(mean(x^2) + epsilon) * (weight + offset)`. Source: Zhang and Sennrich 2019;
    offset is 1 in models that store the weight's difference from one.
    """

    name = "step.norm"

    input = operand_def(TensorType)
    weight = operand_def(WeightType)
    epsilon = prop_def(RealsAttr)
    offset = prop_def(RealsAttr)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $weight `epsilon` $epsilon `offset` $offset attr-dict"
        " `:` type($input) `,` type($weight)"
        " `->` type($result)"
    )

    def __init__(
        self, input: SSAValue, weight: SSAValue, epsilon: float, offset: float = 0.0
    ) -> None:
        super().__init__(
            operands=[input, weight],
            properties={"epsilon": RealsAttr.of([epsilon]), "offset": RealsAttr.of([offset])},
            result_types=[input.type],
        )

    def verify_(self) -> None:
        _require(self.input.type == self.result.type, "norm: input and result have one type")
        _require_one("norm: epsilon and offset", self.epsilon, self.offset)
        _require(
            features_of(self.input)[-1:] == weight_shape(self.weight),
            "norm: the weight has one entry a normalised feature",
        )


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
        _require(
            _product(features_of(self.input)) == _product(features_of(self.result)),
            "reshape: the number of features must not change",
        )


def _product(dims: Sequence[int]) -> int:
    result = 1
    for dim in dims:
        result *= dim
    return result


@irdl_op_definition
class RopeOp(IRDLOperation):
    """Rotary position embedding on `[T, heads, head]`, pairs (i, i + head/2).

    `tables` names one `frequencies` for every trip, or one a trip. Source: Su et al. 2021.
    """

    name = "step.rope"

    input = operand_def(TensorType)
    positions = operand_def(TensorType)
    tables = prop_def(ArrayAttr[SymbolRefAttr])
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $positions `tables` $tables attr-dict"
        " `:` type($input) `,` type($positions) `->` type($result)"
    )

    def __init__(self, input: SSAValue, positions: SSAValue, tables: Sequence[str]) -> None:
        super().__init__(
            operands=[input, positions],
            properties={"tables": ArrayAttr([SymbolRefAttr(table) for table in tables])},
            result_types=[input.type],
        )

    def table_names(self) -> tuple[str, ...]:
        return tuple(table.root_reference.data for table in self.tables)

    def verify_(self) -> None:
        features = features_of(self.input)
        _require_entries("rope: tables", self)
        _require(self.input.type == self.result.type, "rope: input and result have one type")
        _require(
            len(features) == 2 and features[1] % 2 == 0,
            "rope: the input is [T, heads, head] with an even head dimension",
        )


@irdl_op_definition
class AppendOp(IRDLOperation):
    """Append the step's keys and values `[T, kv heads, head]` to the KV cache of one layer.

    Token t becomes the entry of its sequence at its position. `layers` is the number of the
    cache, one a trip. `format` is how entries are stored ("f32" or "f16"), set by choose-formats.
    """

    name = "step.append"

    key = operand_def(TensorType)
    value = operand_def(TensorType)
    positions = operand_def(TensorType)
    sequences = operand_def(TensorType)
    layers = prop_def(IntsAttr)
    format = opt_prop_def(StringAttr)
    cache = result_def(CacheType)

    assembly_format = (
        "$key `,` $value `,` $positions `,` $sequences `layers` $layers (`format` $format^)?"
        " attr-dict `:` type($key) `,` type($value) `,` type($positions) `,` type($sequences)"
        " `->` type($cache)"
    )

    def __init__(
        self,
        key: SSAValue,
        value: SSAValue,
        positions: SSAValue,
        sequences: SSAValue,
        layers: Sequence[int],
    ) -> None:
        super().__init__(
            operands=[key, value, positions, sequences],
            properties={"layers": IntsAttr.of(layers)},
            result_types=[CacheType()],
        )

    def verify_(self) -> None:
        key, value = features_of(self.key), features_of(self.value)
        _require(
            len(key) == 2 and len(value) == 2 and key[0] == value[0],
            "append: keys and values are [T, kv heads, head], with the same heads",
        )
        _require_entries("append: layers", self)
        _require_format("append", self.format, ("f32", "f16"))


@irdl_op_definition
class AttentionOp(IRDLOperation):
    """Causal softmax attention of `[T, heads, head]` queries over a KV cache, grouped-query.

    Token t attends to the entries of its sequence at positions p with
    `position[t] - window < p <= position[t]` (window 0: no lower limit). Query head h uses KV
    head `h * kv_heads // heads`. `windows` has one entry for every trip, or one a trip.
    The result is `[T, heads, value head]`.
    """

    name = "step.attention"

    query = operand_def(TensorType)
    cache = operand_def(CacheType)
    positions = operand_def(TensorType)
    sequences = operand_def(TensorType)
    scale = prop_def(RealsAttr)
    windows = prop_def(IntsAttr)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$query `,` $cache `,` $positions `,` $sequences `scale` $scale `windows` $windows"
        " attr-dict `:` type($query) `,` type($cache) `,` type($positions) `,` type($sequences)"
        " `->` type($result)"
    )

    def __init__(
        self,
        query: SSAValue,
        cache: SSAValue,
        positions: SSAValue,
        sequences: SSAValue,
        scale: float,
        windows: Sequence[int],
        value_head: int,
    ) -> None:
        super().__init__(
            operands=[query, cache, positions, sequences],
            properties={"scale": RealsAttr.of([scale]), "windows": IntsAttr.of(windows)},
            result_types=[tokens_of(features_of(query)[0], value_head)],
        )

    def verify_(self) -> None:
        query, result = features_of(self.query), features_of(self.result)
        _require(
            len(query) == 2 and len(result) == 2 and query[0] == result[0],
            "attention: query and result are [T, heads, head]",
        )
        _require_entries("attention: windows", self)
        _require_one("attention: scale", self.scale)


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
        _require(bool(self.inputs), "map: at least one input")
        _require(
            all(value.type == self.result.type for value in self.inputs),
            "map: inputs and result have one type",
        )
        _require(
            [argument.type for argument in self.block.args] == [f32] * len(self.inputs),
            "map: the region has one f32 argument an input",
        )
        _require(isinstance(self.block.last_op, YieldOp), "map: the region ends in step.yield")
        for op in self.block.ops:
            _require_scalar(op)


def _require_scalar(op: Operation) -> None:
    is_constant = isinstance(op, arith.ConstantOp)
    _require(
        is_constant or isinstance(op, (*SCALAR_OPS, YieldOp)),
        f"map: {op.name} is no scalar operator of a map; there are arith.constant, "
        + ", ".join(each.name for each in SCALAR_OPS),
    )
    _require(
        all(value.type == f32 for value in (*op.operands, *op.results)),
        f"map: {op.name} takes and gives f32",
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
        _require(self.input.type == self.result.type, "select: input and result have one type")


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
        _require(len(features_of(self.logits)) == 1, "sample: the logits are [T, vocabulary]")
        _require(self.result.type == ids_type(), "sample: the result is tensor<?xi32>")


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
        _require(
            [argument.type for argument in self.block.args] == [ids_type()] * 4,
            "program: the arguments are tokens, positions, sequences and outputs (tensor<?xi32>)",
        )
        _require(isinstance(self.block.last_op, ReturnOp), "program: the body ends in step.return")
        _require_one("program: context", self.context)
        if self.parent is not None:
            self._verify_tables(self.parent)

    def _verify_tables(self, module: Block) -> None:
        sizes = {
            op.sym_name.data: len(op.values.data)
            for op in module.ops
            if isinstance(op, FrequenciesOp)
        }
        for op in self.body.walk():
            for name in op.table_names() if isinstance(op, RopeOp) else ():
                _require(name in sizes, f"rope: there is no step.frequencies @{name}")
                half = features_of(op.results[0])[-1] // 2
                _require(sizes[name] == half, f"rope: @{name} needs {half} frequencies")


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
