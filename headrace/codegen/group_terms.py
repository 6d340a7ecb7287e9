"""What turns the integer sums of a product into float32: scales, zero points and minima."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headrace.codegen.activations import Record
from headrace.codegen.tile import I32, Value, vector
from headrace.codegen.unpack import HALVES, Part

Each = TypeVar("Each")


class GroupTerms:
    """The float32 terms of the groups of columns in 32 columns of 32 rows."""

    def __init__(self, part: Part) -> None:
        self.e, self.format = part.e, part.format
        self._part = part
        scales = _halves(part.scale)
        factors = _halves(part.factors) if self.format.factors else None
        self._scales = [self._times(scales, factors, group) for group in range(self.format.groups)]
        self._minima = self._all_minima(factors) if self.format.has_minimum else None
        points = self.format.shift == "zero point"
        self._points = _halves(part.zero_point) if points else None

    def _all_minima(self, factors: list[list[Value]] | None) -> list[list[Value]]:
        minima = _halves(self._part.minimum)
        groups = range(self.format.groups)
        return [self._times(minima, factors, self.format.groups + group) for group in groups]

    def _times(
        self, values: list[Value], factors: list[list[Value]] | None, index: int
    ) -> list[Value]:
        if factors is None:
            return values
        return [
            value * self.e.to_float(own[index]) for value, own in zip(values, factors, strict=True)
        ]

    def start(self, record: Record, group: int, half: int) -> Value:
        """What the zero contributes to an integer sum: `-zero * sum of the activations`."""
        e, format = self.e, self.format
        if self._points is not None:
            return self._points[half] * e.splat(record.negated)
        if format.zero == 0:
            return e.const(0, vector(I32))
        columns = record.negated if format.groups == 1 else record.negated_half(group)
        return e.splat(columns * format.zero)

    def add(self, total: Value, sums: Value, record: Record, group: int, half: int) -> Value:
        """`total` and what a group's integer sums stand for."""
        e = self.e
        factor = self._scales[group][half] * e.splat(record.scale)
        total = e.fma(factor, e.to_float(sums), total)
        if self._minima is None:
            return total
        return e.fma(self._minima[group][half], e.splat(self._offset(record, group)), total)

    def _offset(self, record: Record, group: int) -> Value:
        """What the minimum is multiplied by, with its sign."""
        added = self.format.shift == "added"
        if self.format.groups == 1:
            return record.offset if added else 0 - record.offset
        negated = record.scale * self.e.to_float(record.negated_half(group))
        return 0 - negated if added else negated


def _halves(of: Callable[[int], Each]) -> list[Each]:
    return [of(half) for half in range(HALVES)]
