"""A worker's scratch: what it needs for itself while it does its share of a stage."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from xdsl.dialects.builtin import TensorType

from headrace.codegen.activations import RECORD_BYTES
from headrace.codegen.structure import Structure
from headrace.codegen.tile_format import TILE_COLS
from headrace.codegen.widths import (
    FLOAT,
    aligned,
    chunk_units,
    padded,
    unit_scratch_rows,
    width,
)
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.shapes import weight_shape
from headrace.ir.stages import segments, stage_kind, stage_ops


@dataclass(frozen=True, slots=True)
class Scratch:
    """Offsets in a worker's private memory.

    records: the input of a stage's products; see `activations.py`.
    rows: rows of intermediate values. product: results of products before their epilogue.
    weights: sampling's weights, one a token of the vocabulary. end: the first byte after.
    """

    records: int
    rows: int
    product: int
    weights: int
    end: int


def lay_out_scratch(structure: Structure, max_tokens: int) -> Scratch:
    """The scratch of a program whose steps have `max_tokens` tokens at most."""
    cols = max(padded(weight_shape(op.weight)[1]) for op in structure.ops(LinearOp))
    rows = max(_scratch_rows(stage) for stage in structure.stages)
    floats = (
        max_tokens * (cols // TILE_COLS) * max(RECORD_BYTES.values()) // FLOAT,
        rows * widest_row(structure),
        _product_floats(structure, max_tokens),
        padded(structure.vocabulary),
    )
    return Scratch(*accumulate((aligned(FLOAT * each) for each in floats), initial=0))


def widest_row(structure: Structure) -> int:
    """Floats of the widest row of any value, padded."""
    widest = 0
    for stage in structure.stages:
        for op in stage_ops(stage):
            for value in (*op.operands, *op.results):
                if isinstance(value.type, TensorType) and value.type.get_shape():
                    widest = max(widest, width(value))
    return padded(widest)


def _scratch_rows(stage: StageOp) -> int:
    """Rows of intermediate values that a stage may need: one an operator, one for padding."""
    return len(list(stage_ops(stage))) + 1


def _product_floats(structure: Structure, max_tokens: int) -> int:
    """Floats for the products that wait for their epilogue in any segment.

    One token's are all computed before their epilogue; several tokens' in chunks of units.
    """
    largest = 0
    for stage in structure.stages:
        for segment in segments(stage) if stage_kind(stage) == "product" else ():
            rows = unit_scratch_rows(segment)
            largest = max(largest, segment.units * rows, chunk_units(segment) * rows * max_tokens)
    return largest
