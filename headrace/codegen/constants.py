"""Where a program's small constants lie: one-dimensional weights and rotary tables."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.codegen.structure import Structure
from headrace.codegen.widths import FLOAT, padded
from headrace.ir.program_ops import FrequenciesOp, WeightOp
from headrace.ir.shapes import weight_shape


@dataclass(frozen=True, slots=True)
class VectorPlace:
    """A one-dimensional weight: byte of trip 0 in the vector area, bytes a trip (0: no loop)."""

    at: int
    trip: int


@dataclass(frozen=True, slots=True)
class TablePlace:
    """A rotary table: floats a position of the tables before it, and its own pairs."""

    before: int
    pairs: int


def place_vectors(structure: Structure) -> dict[WeightOp, VectorPlace]:
    """Places of the one-dimensional weights, each padded to whole tiles."""
    places: dict[WeightOp, VectorPlace] = {}
    at = 0
    for stage in structure.stages:
        trips = structure.stage_trips(stage)
        for op in stage.block.ops:
            if isinstance(op, WeightOp) and len(weight_shape(op.result)) == 1:
                bytes = padded(weight_shape(op.result)[0]) * FLOAT
                places[op] = VectorPlace(at, bytes if trips > 1 else 0)
                at += bytes * trips
    return places


def place_tables(structure: Structure) -> dict[str, TablePlace]:
    """Places of the rotary tables by name."""
    places: dict[str, TablePlace] = {}
    before = 0
    for op in structure.module.ops:
        if isinstance(op, FrequenciesOp):
            pairs = len(op.values.data)
            places[op.sym_name.data] = TablePlace(before, pairs)
            before += 2 * pairs
    return places
