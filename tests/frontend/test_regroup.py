"""How views pair dimensions."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.frontend.regroup import group_dimensions
from headrace.frontend.rules import CannotLowerError
from headrace.frontend.values import ONE, Axis


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes of the same entries: two ways to cut one list of factors."""
    factors = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))

    def cut() -> tuple[int, ...]:
        ends = sorted(draw(st.sets(st.integers(1, len(factors)))) | {len(factors)})
        return tuple(prod(factors[a:b]) for a, b in zip([0, *ends], ends, strict=False))

    return cut(), cut()


@given(views())
def test_groups_hold_the_same_entries(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    before, after = shapes
    axes = tuple(Axis(index + 1) for index in range(len(before)))
    sizes = dict(zip(axes, before, strict=True))
    groups = group_dimensions(axes, before, after)
    assert tuple(size for group in groups for size in group.sizes) == after
    assert tuple(axis for group in groups for axis in group.axes) == axes
    for group in groups:
        assert prod(sizes[axis] for axis in group.axes) == prod(group.sizes)


def test_a_batch_of_one_is_no_feature() -> None:
    groups = group_dimensions((ONE, Axis(1), Axis(2)), (1, 4, 8), (4, 1, 8))
    assert [group.sizes for group in groups] == [(4,), (1, 8)]
    assert [group.axes for group in groups] == [(Axis(1),), (Axis(2),)]


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(CannotLowerError):
        group_dimensions((Axis(1),), (6,), (4,))
