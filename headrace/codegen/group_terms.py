"""What turns the integer sums of a product into float32: scales, zero points and minima."""

from __future__ import annotations

from headrace.codegen.activations import Record
from headrace.codegen.tile import I32, Value, vector
from headrace.codegen.unpack import Part


class GroupTerms:
    """The float32 terms of one group of columns in 32 columns of 32 rows.

    What belongs to a half of the rows is loaded when it is first asked for.
    """

    def __init__(self, part: Part, group: int) -> None:
        self.e, self.format = part.e, part.format
        self._part, self._group = part, group
        self._scales: dict[int, Value] = {}
        self._minima: dict[int, Value] = {}
        self._points: dict[int, Value] = {}

    def start(self, record: Record, half: int) -> Value:
        """What the zero contributes to an integer sum: `-zero * sum of the activations`."""
        e, format = self.e, self.format
        if format.shift == "zero point":
            return self._point(half) * e.splat(record.negated)
        if format.zero == 0:
            return e.const(0, vector(I32))
        columns = record.negated if format.groups == 1 else record.negated_half(self._group)
        return e.splat(columns * format.zero)

    def add(self, total: Value, sums: Value, record: Record, half: int) -> Value:
        """`total` and what the group's integer sums stand for."""
        e = self.e
        factor = self._scale(half) * e.splat(record.scale)
        total = e.fma(factor, e.to_float(sums), total)
        if not self.format.has_minimum:
            return total
        return e.fma(self._minimum(half), e.splat(self._offset(record)), total)

    def _scale(self, half: int) -> Value:
        if half not in self._scales:
            self._scales[half] = self._times(self._part.scale(half), half, self._group)
        return self._scales[half]

    def _minimum(self, half: int) -> Value:
        if half not in self._minima:
            index = self.format.groups + self._group
            self._minima[half] = self._times(self._part.minimum(half), half, index)
        return self._minima[half]

    def _point(self, half: int) -> Value:
        if half not in self._points:
            self._points[half] = self._part.zero_point(half)
        return self._points[half]

    def _times(self, value: Value, half: int, index: int) -> Value:
        """`value` times one of the group's integer factors, if the format has them."""
        if self.format.factors is None:
            return value
        return value * self.e.to_float(self._part.factors(half)[index])

    def _offset(self, record: Record) -> Value:
        """What the minimum is multiplied by, with its sign."""
        added = self.format.shift == "added"
        if self.format.groups == 1:
            return record.offset if added else 0 - record.offset
        negated = record.scale * self.e.to_float(record.negated_half(self._group))
        return 0 - negated if added else negated
