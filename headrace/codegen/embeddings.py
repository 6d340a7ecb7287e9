"""The tables of a program's embeddings, as stored: one after the other, behind all other weights.

A table is indexed by the step's token ids, or by their positions (learned positions).
"""

from __future__ import annotations

from headrace.codegen.manifest import RowsPart
from headrace.codegen.structure import Structure
from headrace.codegen.widths import aligned, weight_format
from headrace.errors import ProgramError
from headrace.formats.storage import storage_format
from headrace.ir.model_ops import EmbeddingOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.shapes import matrix_shape


def table_name(op: EmbeddingOp) -> str:
    """The name of the weight that an embedding reads.

    Raises:
        ProgramError: it is a stack of weights, one a trip of a loop.
    """
    assert isinstance(op.table.owner, WeightOp)
    name, *more = op.table.owner.names()
    if more:
        raise ProgramError("an embedding has one table for all trips of a loop", where=name)
    return name


def place_rows(structure: Structure) -> dict[str, RowsPart]:
    """The tables by name, in the order of their first use."""
    parts: dict[str, RowsPart] = {}
    at = 0
    for op in structure.ops(EmbeddingOp):
        name = table_name(op)
        if name not in parts:
            rows, cols = matrix_shape(op.table)
            format = weight_format(op.table)
            row_bytes = storage_format(format).row_bytes(cols)
            parts[name] = RowsPart(name, format, rows, cols, row_bytes, at)
            at += aligned(rows * row_bytes)
    return parts


def learned_positions(structure: Structure) -> int | None:
    """The rows of the shortest table that is indexed by positions; None without one."""
    tables = (
        op.table for op in structure.ops(EmbeddingOp) if op.ids is structure.program.positions
    )
    return min((matrix_shape(table)[0] for table in tables), default=None)
