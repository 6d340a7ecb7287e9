"""The proof that repeated operators are calls of one layer, and how their operands follow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Operation, OpResult, SSAValue

from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import WeightOp

#: An operator of the segment and its result: (operator, result).
Local = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Inside:
    """The operand is computed earlier in the same trip."""

    source: Local


@dataclass(frozen=True, slots=True)
class Carried:
    """The operand is computed by the trip before; the first trip takes `init`."""

    source: Local
    init: SSAValue


@dataclass(frozen=True, slots=True)
class Invariant:
    """The operand is the same value in every trip."""

    value: SSAValue


@dataclass(frozen=True, slots=True)
class Indexed:
    """The operand is a weight of the trip's layer, `{}` in `name` standing for its number."""

    name: str
    layers: tuple[int, ...]


Operand = Inside | Carried | Invariant | Indexed


@dataclass(frozen=True, slots=True)
class Pattern:
    """`trips` calls of one layer: operators `start` .. `start + period * trips`.

    operands: of each operator of the layer, how each operand follows from trip to trip.
    """

    start: int
    period: int
    trips: int
    operands: tuple[tuple[Operand, ...], ...]

    @property
    def carried(self) -> tuple[Carried, ...]:
        """The distinct carried values, in order of first use."""
        every = (operand for operands in self.operands for operand in operands)
        return tuple(dict.fromkeys(each for each in every if isinstance(each, Carried)))


def prove(ops: Sequence[Operation], start: int, period: int, trips: int) -> Pattern | None:
    """The pattern of a repetition, or None where it is not one layer called again and again.

    A layer holds a linear, and hands at least one value to the next.
    """
    places = {op: index for index, op in enumerate(ops)}
    segment = _Segment(places, start, period, trips)
    rows: list[tuple[Operand, ...]] = []
    for local in range(period):
        calls = [ops[start + trip * period + local] for trip in range(trips)]
        operands = [
            segment.operand(values) for values in zip(*(c.operands for c in calls), strict=True)
        ]
        rows.append(tuple(each for each in operands if each is not None))
        if len(rows[-1]) < len(operands):
            return None
    pattern = Pattern(start, period, trips, tuple(rows))
    layer = ops[start : start + period]
    is_layer = bool(pattern.carried) and any(isinstance(op, LinearOp) for op in layer)
    return pattern if is_layer and segment.leaves_only(pattern, ops) else None


@dataclass(frozen=True, slots=True)
class _Segment:
    places: dict[Operation, int]
    start: int
    period: int
    trips: int

    def operand(self, values: Sequence[SSAValue]) -> Operand | None:
        """How one operand follows, from its value in each trip."""
        if all(isinstance(value.owner, WeightOp) for value in values):
            return indexed_weight(values)
        places = [self._place(value) for value in values]
        if all(place is None for place in places):
            same = all(value is values[0] for value in values)
            return Invariant(values[0]) if same else None
        return self._inside(places) or self._carried(values[0], places)

    def _inside(self, places: Sequence[tuple[int, Local] | None]) -> Inside | None:
        last = places[-1]
        assert last is not None or None in places
        if last is None or places != [(trip, last[1]) for trip in range(self.trips)]:
            return None
        return Inside(last[1])

    def _carried(
        self, init: SSAValue, places: Sequence[tuple[int, Local] | None]
    ) -> Carried | None:
        last = places[-1]
        if last is None or places[0] is not None:
            return None
        if places[1:] != [(trip, last[1]) for trip in range(self.trips - 1)]:
            return None
        return Carried(last[1], init)

    def _place(self, value: SSAValue) -> tuple[int, Local] | None:
        """The trip and the local number of what computes a value; None outside of the range."""
        if not isinstance(value, OpResult):
            return None
        place = self.places.get(value.op, -1) - self.start
        if not 0 <= place < self.period * self.trips:
            return None
        trip, local = divmod(place, self.period)
        return trip, (local, value.index)

    def leaves_only(self, pattern: Pattern, ops: Sequence[Operation]) -> bool:
        """Whether only the last trip's carried values are used behind the range."""
        sources = {carried.source for carried in pattern.carried}
        for op in ops[self.start : self.start + self.period * self.trips]:
            for result in op.results:
                place = self._place(result)
                final = place is not None and place[0] == self.trips - 1 and place[1] in sources
                if not final and any(self._is_behind(use.operation) for use in result.uses):
                    return False
        return True

    def _is_behind(self, user: Operation) -> bool:
        return not 0 <= self.places.get(user, -1) - self.start < self.period * self.trips


def indexed_weight(values: Sequence[SSAValue]) -> Indexed | Invariant | None:
    """One weight for all trips, or weights whose names differ in one number."""
    names = [_name(value) for value in values]
    if any("{" in name or "}" in name for name in names):
        return None
    if len(set(names)) == 1:
        return Invariant(values[0])
    parts = [re.split(r"(\d+)", name) for name in names]
    if len({len(each) for each in parts}) != 1:
        return None
    columns = zip(*parts, strict=True)
    differing = [index for index, column in enumerate(columns) if len(set(column)) > 1]
    if len(differing) != 1 or not differing[0] % 2:
        return None
    return _numbered(parts, differing[0])


def _numbered(parts: Sequence[list[str]], place: int) -> Indexed | None:
    numbers = [each[place] for each in parts]
    if any(number != str(int(number)) for number in numbers):
        return None
    pattern = [*parts[0][:place], "{}", *parts[0][place + 1 :]]
    return Indexed("".join(pattern), tuple(map(int, numbers)))


def _name(value: SSAValue) -> str:
    assert isinstance(value.owner, WeightOp)
    return value.owner.weight_name.data
