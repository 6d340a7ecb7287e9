"""The weighted sum of a block's values, for the rows of a call of attention's inner kernel."""

from __future__ import annotations

from headrace.codegen.attend_state import Rows
from headrace.codegen.tile import F32, LANES, Emitter, Locality, Value, vector

#: Vector registers for the sums of all rows while values stream by.
_SUM_REGISTERS = 24


def add_values(
    e: Emitter, rows: Rows, place: Value, low: Value, high: Value, following: Value
) -> None:
    """Add the values of a block's positions `low` .. `high`, weighted.

    As many features at once as registers hold.

    following: the entries that are read next, and asked for meanwhile.
    """
    shape, count = rows.shape, len(rows.queries)
    at_once = max(1, _SUM_REGISTERS // count)
    for first in range(0, shape.row_vectors, at_once):
        parts = range(first, min(first + at_once, shape.row_vectors))
        sums = [
            [e.variable(e.load(rows.sum_place(e, row, part), vector(F32))) for part in parts]
            for row in range(count)
        ]
        with e.range(low, high) as within:
            values = shape.cache.value_place(e, place, within)
            weights = [
                e.splat(e.load(rows.score_place(e, row, within), F32)) for row in range(count)
            ]
            if first == 0:
                share = shape.cache.value_head * shape.cache.element_bytes
                ask = e.offset(following, within * share + shape.cache.key_bytes)
                e.prefetch_lines(ask, share, Locality.SECOND_LEVEL)
            for index, part in enumerate(parts):
                source = e.offset(values, part * LANES, shape.cache.element)
                value = shape.cache.load(e, source, shape.cache.value_mask(e, part))
                for totals, weight in zip(sums, weights, strict=True):
                    totals[index].set(e.fma(value, weight, totals[index].get()))
        for row, totals in enumerate(sums):
            for part, total in zip(parts, totals, strict=True):
                e.store(total.get(), rows.sum_place(e, row, part))
