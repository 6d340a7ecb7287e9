"""Products whose rows are still to be chosen: fused projections are taken apart before they exist.

A model that makes queries, keys and values in one product slices the result. The program has a
product for each slice instead, over the rows of the weight that end up there. So the result of a
product is not emitted where the model makes it, but where something other than a view uses it;
until then views and slices move the numbers of its rows about. What is computed of each element
alone (clipped queries) waits likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from xdsl.ir import Operation, SSAValue

from headrace.checkpoint.binding import Binding
from headrace.checkpoint.row_view import Indices, row_view
from headrace.frontend.rules import CannotLowerError
from headrace.ir.model_ops import LinearOp, ReshapeOp

if TYPE_CHECKING:
    from headrace.frontend.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Source:
    """The product of `input` `[T, cols]` with all rows of a parameter (and its bias).

    Attributes:
        transpose: the parameter is `[cols, rows]`.
        place, hint: where in the program, and under which name, its parts are emitted.
    """

    emitter: Emitter
    input: SSAValue
    weight: str
    bias: str | None
    transpose: bool
    place: Operation | None
    hint: str
    emitted: dict[bytes, SSAValue] = field(default_factory=dict[bytes, SSAValue])

    @property
    def rows(self) -> int:
        shape = self.emitter.shape(self.weight)
        return shape[1] if self.transpose else shape[0]

    def part(self, rows: Indices) -> SSAValue:
        """`[T, rows]`, emitted once."""
        key = rows.tobytes()
        if key not in self.emitted:
            self.emitted[key] = self._emit(rows)
        return self.emitted[key]

    def _emit(self, rows: Indices) -> SSAValue:
        view = row_view(rows)
        if view is None:
            raise CannotLowerError("a part of a product whose rows lie in no regular order")
        is_all = len(rows) == self.rows and view.start == 0 and view.dims == ((self.rows, 1),)
        views = () if is_all else (view,)
        weight = self.emitter.derived(Binding(self.weight, views, transpose=self.transpose))
        bias = None if self.bias is None else self.emitter.derived(Binding(self.bias, views))
        return self.emitter.emit(LinearOp(self.input, weight, bias))


@dataclass(frozen=True, eq=False)
class Mapped:
    """What `apply` makes of each element of a product."""

    inner: Source | Mapped
    apply: Callable[[SSAValue], SSAValue]
    emitted: dict[bytes, SSAValue] = field(default_factory=dict[bytes, SSAValue])

    @property
    def source(self) -> Source:
        return self.inner if isinstance(self.inner, Source) else self.inner.source

    def part(self, rows: Indices) -> SSAValue:
        """`[T, rows]`, emitted once."""
        key = rows.tobytes()
        if key not in self.emitted:
            self.emitted[key] = self.apply(self.inner.part(rows))
        return self.emitted[key]


@dataclass(frozen=True, eq=False)
class Product:
    """A product's result as `[T, *rows.shape]`: which row of the weight makes each feature."""

    parts: Source | Mapped
    rows: Indices

    @staticmethod
    def of(emitter: Emitter, input: SSAValue, weight: str, bias: str | None, transpose: bool):
        source = Source(emitter, input, weight, bias, transpose, emitter.place, emitter.hint)
        return Product(source, np.arange(source.rows))

    @property
    def features(self) -> tuple[int, ...]:
        return self.rows.shape

    def viewed(self, rows: Indices) -> Product:
        return Product(self.parts, rows)

    def mapped(self, apply: Callable[[SSAValue], SSAValue]) -> Product:
        """This product and then `apply` on each element."""
        return Product(Mapped(self.parts, apply), self.rows)

    def with_bias(self, bias: str) -> Product | None:
        """This product and then a bias on all of its rows; None if it has one, or lost rows."""
        source = self.parts
        if not isinstance(source, Source) or source.bias is not None:
            return None
        if not np.array_equal(self.rows.reshape(-1), np.arange(source.rows)):
            return None
        return Product(replace(source, bias=bias, emitted={}), self.rows)

    @cached_property
    def ssa(self) -> SSAValue:
        source = self.parts if isinstance(self.parts, Source) else self.parts.source
        with source.emitter.at(source.place, source.hint):
            flat = self.parts.part(self.rows.reshape(-1))
            if self.rows.ndim == 1:
                return flat
            reshaped = ReshapeOp(flat, self.features)
            return source.emitter.emit(reshaped, f"{flat.name_hint}_heads")
