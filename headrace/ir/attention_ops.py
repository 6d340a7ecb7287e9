"""Attention in the `step` dialect: positions into heads, the KV cache, and its reader."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    StringAttr,
    SymbolRefAttr,
    TensorType,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import (
    Pure,
)

from headrace.ir.checks import require, require_entries, require_format, require_one
from headrace.ir.literals import IntsAttr, RealsAttr
from headrace.ir.shapes import features_of, tokens_of
from headrace.ir.types import CacheType


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
        require_entries("rope: tables", len(self.tables))
        require(self.input.type == self.result.type, "rope: input and result have one type")
        require(
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
        require(
            len(key) == 2 and len(value) == 2 and key[0] == value[0],
            "append: keys and values are [T, kv heads, head], with the same heads",
        )
        require_entries("append: layers", len(self.layers.data))
        require_format("append", self.format, ("f32", "f16"))


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
        require(
            len(query) == 2 and len(result) == 2 and query[0] == result[0],
            "attention: query and result are [T, heads, head]",
        )
        require_entries("attention: windows", len(self.windows.data))
        require_one("attention: scale", self.scale)
