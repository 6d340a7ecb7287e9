"""Where to cut a sequence into shares: one a worker, as equal as its borders allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise


def balanced_bounds(
    costs: Sequence[int], workers: int, allowed: Iterable[int] | None = None
) -> tuple[int, ...]:
    """Where to cut a sequence of units so that each worker has close to an equal share.

    Each of the `workers - 1` cuts goes to the unit border nearest to its ideal place.

    allowed: the borders to choose from, the first and the last among them; None for all.
    """
    borders = (0, *accumulate(costs))
    total, places = borders[-1], tuple(range(len(borders)) if allowed is None else allowed)
    cuts = (
        min(places, key=lambda unit: abs(borders[unit] * workers - total * worker))
        for worker in range(workers + 1)
    )
    return tuple(cuts)


def largest_share(costs: Sequence[int], bounds: Sequence[int]) -> int:
    """The cost of the worker that has most."""
    return max(sum(costs[low:high]) for low, high in pairwise(bounds))
