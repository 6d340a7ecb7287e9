"""Norms of one row (or head) of float32 features in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.codegen.row_kernels import load_lanes
from headrace.codegen.tile import F32, Emitter, Value, vector


@dataclass(frozen=True, slots=True)
class Norm:
    """One norm: its features, epsilon, and what is added to the weight.

    The factor of a feature is weight + offset, or 1 without a weight.
    """

    count: int
    epsilon: float
    offset: float

    def rms(self, e: Emitter, source: Value, weight: Value | None, out: Value) -> None:
        """out = source / sqrt(mean(source^2) + epsilon) * factor.

        The root-mean-square norm (Zhang and Sennrich 2019).
        """
        total = e.variable(e.const(0.0, vector(F32)))
        for index, mask in e.lanes(self.count):
            value = load_lanes(e, source, index, mask)
            total.set(e.fma(value, value, total.get()))
        mean = e.reduce_add(total.get()) * (1.0 / self.count)
        inverse = 1.0 / e.square_root(mean + self.epsilon)
        for index, mask in e.lanes(self.count):
            value = load_lanes(e, source, index, mask)
            factor = None if weight is None else self._factor(e, weight, index, mask)
            scaled = value * inverse
            result = scaled if factor is None else scaled * factor
            e.store(result, e.offset(out, index, F32), mask)

    def layer(
        self, e: Emitter, source: Value, weight: Value | None, bias: Value | None, out: Value
    ) -> None:
        """out = (source - mean) / sqrt(variance + epsilon) * factor + bias.

        The layer norm (Ba, Kiros and Hinton 2016). The variance divides by the count, and is the
        mean of squared differences: it stays exact where the mean is far from zero.
        """
        mean = self._mean(e, lambda index, mask: load_lanes(e, source, index, mask))

        def squared(index: Value, mask: Value | None) -> Value:
            rest = load_lanes(e, source, index, mask) - mean
            rest = rest if mask is None else e.select(mask, rest, 0.0)
            return rest * rest

        inverse = 1.0 / e.square_root(self._mean(e, squared) + self.epsilon)
        for index, mask in e.lanes(self.count):
            value = (load_lanes(e, source, index, mask) - mean) * inverse
            if weight is not None:
                value = value * self._factor(e, weight, index, mask)
            if bias is not None:
                value = value + load_lanes(e, bias, index, mask)
            e.store(value, e.offset(out, index, F32), mask)

    def _factor(self, e: Emitter, weight: Value, index: Value, mask: Value | None) -> Value:
        factor = load_lanes(e, weight, index, mask)
        return factor + self.offset if self.offset else factor

    def _mean(self, e: Emitter, term: Callable[[Value, Value | None], Value]) -> Value:
        """The mean of terms that are zero in lanes that the mask leaves out."""
        total = e.variable(e.const(0.0, vector(F32)))
        for index, mask in e.lanes(self.count):
            total.set(total.get() + term(index, mask))
        return e.reduce_add(total.get()) * (1.0 / self.count)
