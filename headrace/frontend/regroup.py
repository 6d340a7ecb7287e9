"""What a view does to a program's value: which dimensions merge, split or stay.

The dimensions before and after a view are paired from the last to the first into groups of equally
many entries. The tokens are a group of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import torch

from headrace.frontend.rules import CannotLowerError
from headrace.frontend.values import ONE, TOKENS, Axis

Size: TypeAlias = "int | torch.SymInt"


@dataclass(frozen=True, slots=True)
class Group:
    """Dimensions before (`axes`) that hold the same entries as those after (`sizes`)."""

    axes: tuple[Axis, ...]
    sizes: tuple[Size, ...]

    @property
    def first(self) -> int:
        """The first program dimension of the group; -1 if it has none."""
        return min((axis.index for axis in self.axes if axis.index is not None), default=-1)


def group_dimensions(
    axes: tuple[Axis, ...], before: tuple[Size, ...], after: tuple[Size, ...]
) -> list[Group]:
    """The groups of a view, in the order of the dimensions after it.

    Raises:
        CannotLowerError: the view mixes tokens with features.
    """
    sources = [(axis, size) for axis, size in zip(axes, before, strict=True) if axis != ONE]
    sizes = list(after)
    groups: list[Group] = []
    behind_tokens = True
    while sizes:
        if sizes[-1] == 1 and not (sources and sources[-1][1] == 1):
            groups.append(_of_one(groups, behind_tokens))
            sizes.pop()
            continue
        group = _take(sources, sizes)
        behind_tokens = behind_tokens and group.axes != (TOKENS,)
        groups.append(group)
    return groups[::-1]


def _of_one(groups: list[Group], behind_tokens: bool) -> Group:
    """A new dimension of size one: one more feature dimension, or one that holds nothing."""
    if behind_tokens and groups:
        following = groups.pop()
        return Group(following.axes, (1, *following.sizes))
    return Group((), (1,))


def _take(sources: list[tuple[Axis, Size]], sizes: list[Size]) -> Group:
    """Pop the last dimensions of both lists up to where they hold the same entries."""
    taken, wanted = _pop(sources), [sizes.pop()]
    if isinstance(taken[0][1], torch.SymInt) or isinstance(wanted[0], torch.SymInt):
        if not (isinstance(taken[0][1], torch.SymInt) and isinstance(wanted[0], torch.SymInt)):
            raise CannotLowerError("a view that mixes tokens with features")
        return Group((taken[0][0],), tuple(wanted))
    while (had := prod(_static(size) for _, size in taken)) != (
        needed := prod(_static(size) for size in wanted)
    ):
        if had < needed:
            taken = _pop(sources) + taken
        elif sizes:
            wanted.insert(0, sizes.pop())
        else:
            raise CannotLowerError("a view that mixes tokens with features")
    while sources and sources[-1][1] == 1 and not (sizes and sizes[-1] == 1):
        taken = _pop(sources) + taken
    return Group(tuple(axis for axis, _ in taken), tuple(wanted))


def _pop(sources: list[tuple[Axis, Size]]) -> list[tuple[Axis, Size]]:
    if not sources:
        raise CannotLowerError("a view that mixes tokens with features")
    return [sources.pop()]


def _static(size: Size) -> int:
    if isinstance(size, torch.SymInt):
        raise CannotLowerError("a view that mixes tokens with features")
    return size
