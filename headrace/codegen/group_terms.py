"""What turns the integer sums of a product into float32: scales, zero points and minima."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from headrace.codegen.tile import F32, I32, Emitter, Value, vector
from headrace.codegen.unpack import HALVES, Part

Each = TypeVar("Each")


@dataclass(frozen=True, slots=True)
class Activation:
    """Where the activations of the current stage are.

    values: `[T, cols]` of int8 or float32, rows `stride` values apart, padded with zeros to whole
    blocks of 32; for int8 also, for each block: scales (f32), the sums of the int8 values of its
    two halves (i32), and offsets = scale * both sums (f32), rows `blocks` apart.
    """

    values: Value
    scales: Value
    sums: Value
    offsets: Value
    blocks: Value


class Entry:
    """Scale and sums of one token's 32 columns; each is loaded when it is first asked for."""

    def __init__(self, e: Emitter, x: Activation, place: Value) -> None:
        self._e, self._x, self._place = e, x, place
        self._sums: dict[int, Value] = {}

    @cached_property
    def scale(self) -> Value:
        return self._e.load(self._e.offset(self._x.scales, self._place, F32), F32)

    @cached_property
    def offset(self) -> Value:
        """The scale times the sum over all columns."""
        return self._e.load(self._e.offset(self._x.offsets, self._place, F32), F32)

    @cached_property
    def total(self) -> Value:
        return self.sum(0) + self.sum(1)

    def sum(self, half: int) -> Value:
        """The sum over 16 columns."""
        if half not in self._sums:
            at = self._e.offset(self._x.sums, self._place * 2 + half, I32)
            self._sums[half] = self._e.load(at, I32)
        return self._sums[half]


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

    def start(self, entry: Entry, group: int, half: int) -> Value:
        """What the zero contributes to an integer sum: `-zero * sum of the activations`."""
        e, format = self.e, self.format
        if self._points is not None:
            return self._points[half] * e.splat(0 - entry.total)
        if format.zero == 0:
            return e.const(0, vector(I32))
        columns = entry.total if format.groups == 1 else entry.sum(group)
        return e.splat(columns * -format.zero)

    def add(self, total: Value, sums: Value, entry: Entry, group: int, half: int) -> Value:
        """`total` and what a group's integer sums stand for."""
        e = self.e
        factor = self._scales[group][half] * e.splat(entry.scale)
        total = e.fma(factor, e.to_float(sums), total)
        if self._minima is None:
            return total
        return e.fma(self._minima[group][half], e.splat(self._offset(entry, group)), total)

    def _offset(self, entry: Entry, group: int) -> Value:
        """What the minimum is multiplied by, with its sign."""
        offset = entry.offset
        if self.format.groups == 2:
            offset = entry.scale * self.e.to_float(entry.sum(group))
        return offset if self.format.shift == "added" else 0 - offset


def _halves(of: Callable[[int], Each]) -> list[Each]:
    return [of(half) for half in range(HALVES)]
