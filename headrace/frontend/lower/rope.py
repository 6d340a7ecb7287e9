"""Rotary position embedding, in whatever way it is written.

A rotation is linear in what it rotates, with coefficients made from positions. So it is not the
operators that are looked at, but what they compute: the region between a tensor and what is linear
in it is run on a few inputs, and it is a rotation if and only if the numbers say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from headrace.frontend import positions
from headrace.frontend.emitter import Emitter
from headrace.frontend.frequencies import Frequencies, fit_frequencies
from headrace.frontend.linear_region import Region, find_region
from headrace.frontend.lower.views import reshaped
from headrace.frontend.rules import CannotLowerError, Rule, structure
from headrace.frontend.trace import Trace, aten, shape_of
from headrace.frontend.values import Axis, Value
from headrace.ir.attention_ops import RopeOp, RopeStyle
from headrace.ir.model_ops import ReshapeOp

#: Of products and sums of a few float32 numbers of magnitude one: some units in the last place.
TOLERANCE = 1e-5

Reals = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The features that are rotated with one another: pair i is (first[i], second[i])."""

    style: RopeStyle
    first: slice
    second: slice

    @staticmethod
    def of(style: RopeStyle, count: int) -> _Pairs:
        if style == "halves":
            return _Pairs(style, slice(0, count), slice(count, 2 * count))
        return _Pairs(style, slice(0, 2 * count, 2), slice(1, 2 * count, 2))


@dataclass(frozen=True, slots=True)
class _Rotation:
    style: RopeStyle
    frequencies: Frequencies


@structure(
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.cat.default,
    aten.stack.default,
    aten.flatten.using_ints,
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
)
def rope(trace: Trace, node: Node) -> Rule | None:
    region = find_region(trace, node)
    if region is None:
        return None
    try:
        rotation = _rotation(trace, region)
    except CannotLowerError as error:
        error.inputs = (region.input,)
        raise

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (input,) = values
        heads, is_head = _by_heads(emitter, input)
        table = emitter.table(rotation.frequencies)
        op = RopeOp(heads.ssa, emitter.positions, [table], style=rotation.style)
        rotated = emitter.emit(op, f"{heads.ssa.name_hint}_rotated")
        if is_head:
            rotated = emitter.emit(ReshapeOp(rotated, input.features))
        return Value(rotated, input.axes)

    return Rule((region.input,), emit)


def _by_heads(emitter: Emitter, value: Value) -> tuple[Value, bool]:
    """The value as `[T, heads, head]`, and whether it was one head `[T, head]`."""
    last = len(value.features)
    if last not in (1, 2) or value.axes[-1] != Axis(last):
        raise CannotLowerError("a rotation of something else than [T, heads, head]")
    if last == 2:
        return value, False
    return Value(reshaped(emitter, value, (1, *value.features)), ()), True


def _rotation(trace: Trace, region: Region) -> _Rotation:
    short = _measured(trace, region)
    if trace.long is None or trace.exported.long is None:
        return short
    long = _measured(trace.long, region)
    if long.style != short.style or long.frequencies == short.frequencies:
        return short
    beyond = trace.exported.long.beyond
    return _Rotation(short.style, short.frequencies.with_long(beyond, long.frequencies))


def _measured(trace: Trace, region: Region) -> _Rotation:
    """The rotation that a region computes."""
    probe = _Probe(trace, region)
    for pairs in probe.candidates():
        frequencies = probe.frequencies(pairs)
        if frequencies is not None:
            return _Rotation(pairs.style, frequencies)
    raise CannotLowerError(
        "what it computes from positions is no rotation by position * frequency in float32",
        "rotate the first features of each head, as halves or in pairs, with frequencies that "
        "depend on no position",
    )


class _Probe:
    """A region as a function, at some positions."""

    def __init__(self, trace: Trace, region: Region) -> None:
        self.trace, self.region = trace, region
        self.positions = positions.sample(trace.exported.context)
        self.tables = {
            table: positions.evaluate_at(trace, table, self.positions) for table in region.tables
        }
        self.shape = tuple(
            len(self.positions) if isinstance(size, torch.SymInt) else size
            for size in shape_of(region.input)
        )
        self.tokens = next(
            dim for dim, size in enumerate(shape_of(region.input)) if not isinstance(size, int)
        )
        self.random = torch.rand(self.shape, generator=torch.Generator().manual_seed(0)) + 0.5
        self.rotated = self(self.random)

    def __call__(self, input: torch.Tensor) -> torch.Tensor:
        given = {self.region.input: input, **self.tables}
        return positions.evaluate_among(
            self.trace, self.region.output, len(self.positions), given
        ).to(torch.float32)

    def candidates(self) -> Iterator[_Pairs]:
        """Pairs among the features that change; all features if some of them never turn."""
        width = self.shape[-1]
        changed = (self.rotated != self.random).reshape(-1, width).any(0).nonzero()
        last = int(changed.max()) + 1 if len(changed) else width
        for count in dict.fromkeys(((last + 1) // 2, width // 2)):
            yield from (_Pairs.of(style, count) for style in ("halves", "pairs"))

    def frequencies(self, pairs: _Pairs) -> Frequencies | None:
        """The table of a rotation of these pairs, if it is one."""
        a, c = self._columns(pairs, pairs.first)
        b, d = self._columns(pairs, pairs.second)
        if not torch.equal(a, d) or not torch.equal(b, -c):
            return None
        if not self._is_rotation(pairs, a, c):
            return None
        cos, sin = (self._by_position(table) for table in (a, c))
        return None if cos is None or sin is None else fit_frequencies(self.positions, cos, sin)

    def _columns(self, pairs: _Pairs, which: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """What ones in the first or the second of all pairs become."""
        ones = torch.zeros(self.shape)
        ones[..., which] = 1
        result = self(ones)
        return result[..., pairs.first], result[..., pairs.second]

    def _is_rotation(self, pairs: _Pairs, cos: torch.Tensor, sin: torch.Tensor) -> bool:
        """Whether pairs are rotated by themselves, and all else passes unchanged."""
        expected = self.random.clone()
        x, y = self.random[..., pairs.first], self.random[..., pairs.second]
        expected[..., pairs.first] = x * cos - y * sin
        expected[..., pairs.second] = y * cos + x * sin
        return torch.allclose(self.rotated, expected, rtol=TOLERANCE, atol=TOLERANCE)

    def _by_position(self, table: torch.Tensor) -> Reals | None:
        """`[positions, pairs]`, if all heads have the same."""
        rows = table.movedim(self.tokens, 0).reshape(len(self.positions), -1, table.shape[-1])
        return rows[:, 0].numpy() if torch.equal(rows, rows[:, :1].expand_as(rows)) else None
