"""Where a straight program repeats itself: runs of operators of one structure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Operation, Region, SSAValue

from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp

#: Attributes that may differ from layer to layer: in a loop they have one entry a trip.
INDEXED: dict[type[Operation], str] = {
    AppendOp: "layers",
    AttentionOp: "windows",
    RopeOp: "tables",
}


@dataclass(frozen=True, slots=True)
class Run:
    """`trips` times `period` operators of the same structure, from any of `starts` on."""

    starts: range
    period: int
    trips: int


def structure(op: Operation) -> Hashable:
    """Equal for operators that differ in which values they use and in indexed attributes only."""
    indexed = INDEXED.get(type(op))
    properties = {name: attr for name, attr in op.properties.items() if name != indexed}
    return (
        op.name,
        tuple(sorted(properties.items())),
        tuple(sorted(op.attributes.items())),
        tuple(value.type for value in op.operands),
        tuple(value.type for value in op.results),
        tuple(_region_structure(region) for region in op.regions),
    )


def _region_structure(region: Region) -> Hashable:
    """A region's operators with values numbered; values from outside by identity."""
    numbers: dict[SSAValue, int] = {}
    found: list[Hashable] = []
    for block in region.blocks:
        _number(numbers, block.args)
        for op in block.ops:
            operands = tuple(numbers.get(value, value) for value in op.operands)
            _number(numbers, op.results)
            found.append((structure(op), operands))
    return tuple(found)


def _number(numbers: dict[SSAValue, int], values: Sequence[SSAValue]) -> None:
    for value in values:
        numbers[value] = len(numbers)


def runs(ops: Sequence[Operation], sizes: Mapping[str, int]) -> list[Run]:
    """All repetitions of at least two trips, those that cover most operators first.

    Of two that cover as much, the one with the shorter period comes first. `sizes` are of the
    rotary tables: only rotations of as many features repeat each other.
    """
    codes = _codes(ops, sizes)
    found = [run for period in range(1, len(ops) // 2 + 1) for run in _of_period(codes, period)]
    return sorted(found, key=lambda run: (-run.period * run.trips, run.period, run.starts.start))


def _codes(ops: Sequence[Operation], sizes: Mapping[str, int]) -> np.ndarray:
    """A number an operator, the same for those of one structure."""
    ids: dict[Hashable, int] = {}
    turned = (sizes.get(op.table_names()[0]) if isinstance(op, RopeOp) else None for op in ops)
    kinds = ((structure(op), size) for op, size in zip(ops, turned, strict=True))
    return np.array([ids.setdefault(kind, len(ids)) for kind in kinds])


def _of_period(codes: np.ndarray, period: int) -> Iterator[Run]:
    same = np.concatenate(([False], codes[:-period] == codes[period:], [False]))
    edges = np.flatnonzero(same[1:] != same[:-1])
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        length = last - first
        if length >= period:
            starts = range(first, first + length % period + 1)
            yield Run(starts, period, length // period + 1)
