"""Attention in the `step` dialect: positions into heads, the KV cache, and its reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

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
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import (
    Pure,
)

from headrace.formats.entries import ENTRY_FORMATS
from headrace.ir.checks import require, require_entries, require_format, require_one
from headrace.ir.literals import IntsAttr, RealsAttr
from headrace.ir.shapes import features_of, tokens_of, weight_shape
from headrace.ir.types import CacheType, WeightType

#: Which features a rotation pairs.
RopeStyle = Literal["halves", "pairs"]


@irdl_op_definition
class RopeOp(IRDLOperation):
    """Rotary position embedding on `[T, heads, head]`.

    `tables` names one `frequencies` for every trip, or one a trip. A table of n frequencies
    rotates the first 2n features of each head, the others pass unchanged. `style` says which make
    a pair: "halves" (i, i + n), or "pairs" (2i, 2i + 1). Sources: Su et al. 2021; GPT-NeoX and
    GPT-J for the styles.
    """

    name = "step.rope"

    input = operand_def(TensorType)
    positions = operand_def(TensorType)
    tables = prop_def(ArrayAttr[SymbolRefAttr])
    style = prop_def(StringAttr, default_value=StringAttr("halves"))
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $positions `tables` $tables (`style` $style^)? attr-dict"
        " `:` type($input) `,` type($positions) `->` type($result)"
    )

    def __init__(
        self,
        input: SSAValue,
        positions: SSAValue,
        tables: Sequence[str],
        *,
        style: RopeStyle = "halves",
    ) -> None:
        super().__init__(
            operands=[input, positions],
            properties={
                "tables": ArrayAttr([SymbolRefAttr(table) for table in tables]),
                "style": StringAttr(style),
            },
            result_types=[input.type],
        )

    def table_names(self) -> tuple[str, ...]:
        return tuple(table.root_reference.data for table in self.tables)

    def verify_(self) -> None:
        require_entries("rope: tables", len(self.tables))
        require_format("rope: style", self.style, ("halves", "pairs"))
        require(self.input.type == self.result.type, "rope: input and result have one type")
        require(len(features_of(self.input)) == 2, "rope: the input is [T, heads, head]")


@irdl_op_definition
class AppendOp(IRDLOperation):
    """Append the step's keys and values `[T, kv heads, head]` to the KV cache of one layer.

    Token t becomes the entry of its sequence at its position. `layers` is the number of the
    cache, one a trip. `format`, set by choose-formats, is how entries are stored: one of
    `ENTRY_FORMATS`.
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
        require_format("append", self.format, ENTRY_FORMATS)


@irdl_op_definition
class AttentionOp(IRDLOperation):
    """Causal softmax attention of `[T, heads, head]` queries over a KV cache, grouped-query.

    Token t attends to the entries of its sequence at positions p with
    `position[t] - window < p <= position[t]` (window 0: no lower limit). Query head h uses KV
    head `h * kv_heads // heads`. `windows` has one entry for every trip, or one a trip.
    The result is `[T, heads, value head]`.

    The score of an entry is `s = scale * q.k`; with a `softcap` c > 0 then `c * tanh(s / c)`; with
    `slopes`, one a query head, plus `slopes[h] * (p - position[t])` (ALiBi: Press et al. 2021).
    `sinks` is a weight `[heads]` of one more logit a head, that has no value.
    """

    name = "step.attention"

    query = operand_def(TensorType)
    cache = operand_def(CacheType)
    positions = operand_def(TensorType)
    sequences = operand_def(TensorType)
    sinks = opt_operand_def(WeightType)
    scale = prop_def(RealsAttr)
    windows = prop_def(IntsAttr)
    softcap = prop_def(RealsAttr, default_value=RealsAttr((0.0,)))
    slopes = prop_def(RealsAttr, default_value=RealsAttr(()))
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = (
        "$query `,` $cache `,` $positions `,` $sequences `scale` $scale `windows` $windows"
        " (`softcap` $softcap^)? (`slopes` $slopes^)? (`sinks` $sinks^ `:` type($sinks))?"
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
        *,
        softcap: float = 0.0,
        slopes: Sequence[float] = (),
        sinks: SSAValue | None = None,
    ) -> None:
        super().__init__(
            operands=[query, cache, positions, sequences, [] if sinks is None else [sinks]],
            properties={
                "scale": RealsAttr.of([scale]),
                "windows": IntsAttr.of(windows),
                "softcap": RealsAttr.of([softcap]),
                "slopes": RealsAttr.of(slopes),
            },
            result_types=[tokens_of(features_of(query)[0], value_head)],
        )

    def verify_(self) -> None:
        query, result = features_of(self.query), features_of(self.result)
        require(
            len(query) == 2 and len(result) == 2 and query[0] == result[0],
            "attention: query and result are [T, heads, head]",
        )
        require_entries("attention: windows", len(self.windows.data))
        require_one("attention: scale and softcap", self.scale, self.softcap)
        require(self.softcap.only >= 0, "attention: the softcap is positive, or 0 for none")
        require(
            len(self.slopes.data) in (0, query[0])
            and (self.sinks is None or weight_shape(self.sinks) == query[:1]),
            f"attention: slopes and sinks have one entry a query head, {query[0]}",
        )
