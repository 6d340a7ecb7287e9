"""Some rows of a matrix, ordered by strides: parts of fused projections, permuted heads."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class RowView:
    """Rows `start + sum(index * stride)`, row-major over `dims`, each a (count, stride)."""

    start: int
    dims: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        return prod(count for count, _ in self.dims)

    @property
    def text(self) -> str:
        """As it stands behind a weight's name: `[0:768]`, or `[64+4*192+64*1]`."""
        if len(self.dims) == 1 and self.dims[0][1] == 1:
            return f"[{self.start}:{self.start + self.count}]"
        return f"[{'+'.join([str(self.start), *(f'{n}*{stride}' for n, stride in self.dims)])}]"

    def indices(self) -> Indices:
        """The row numbers, [count]."""
        found = np.full(1, self.start)
        for count, stride in self.dims:
            found = (found[:, None] + stride * np.arange(count)).reshape(-1)
        return found


@dataclass(frozen=True, slots=True)
class JoinedViews:
    """The rows of several views, one view's after the other's."""

    views: tuple[RowView, ...]

    @property
    def count(self) -> int:
        return sum(view.count for view in self.views)

    @property
    def text(self) -> str:
        """As it stands behind a weight's name: `[0:64][96:128]`."""
        return "".join(view.text for view in self.views)

    def indices(self) -> Indices:
        """The row numbers, [count]."""
        return np.concatenate([view.indices() for view in self.views])


def row_view(indices: Indices) -> RowView | None:
    """The view with these row numbers, in as few dimensions as there can be; None if none has."""
    if not indices.size:
        return None
    dims: list[tuple[int, int]] = []
    rest = indices
    while rest.size > 1:
        stride = int(rest[1] - rest[0])
        steps = np.diff(rest) == stride
        count = int(rest.size if steps.all() else np.argmin(steps) + 1)
        dims.insert(0, (count, stride))
        rest = rest[::count]
    view = RowView(int(indices[0]), tuple(dims) or ((1, 1),))
    return view if np.array_equal(view.indices(), indices) else None


def as_slice(indices: Indices) -> slice | Indices:
    """Consecutive rows as a slice, so that taking them copies nothing."""
    if indices.size and (np.diff(indices) == 1).all():
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices
