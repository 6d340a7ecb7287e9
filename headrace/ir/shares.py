"""What each worker has of a stage's values: its shard in units, rows and features."""

from __future__ import annotations

from itertools import pairwise

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import Segment, segments, stage_name
from headrace.ir.types import Shard


def shard_of(stage: StageOp) -> Shard:
    """The stage's shard.

    Raises:
        ProgramError: it has none.
    """
    if stage.shard is None:
        raise ProgramError(
            "the stage has no shard", where=f"stage @{stage_name(stage)}", hint="run shard before"
        )
    return stage.shard.data


def unit_ranges(stage: StageOp, segment: Segment) -> tuple[range, ...]:
    """The units of a product's segment that each worker does, from the stage's shard.

    Raises:
        ProgramError: the stage is sharded in a way that is no product's, or a head's rows are no
            whole units.
    """
    shard = shard_of(stage)
    match shard.axis:
        case "rows":
            first = _units_before(stage, segment)
            ends = [min(segment.units, max(0, bound - first)) for bound in shard.bounds]
        case "heads":
            ends = [_head_units(stage, segment, bound, shard.bounds[-1]) for bound in shard.bounds]
        case "columns":
            return (range(segment.units),) * (len(shard.bounds) - 1)
        case _:
            raise ProgramError(
                f"a product is not sharded by {shard.axis}", where=f"stage @{stage_name(stage)}"
            )
    return tuple(range(low, high) for low, high in pairwise(ends))


def _units_before(stage: StageOp, segment: Segment) -> int:
    """Units of the segments before one."""
    found = segments(stage)
    place = next(i for i, other in enumerate(found) if other.linears == segment.linears)
    return sum(other.units for other in found[:place])


def _head_units(stage: StageOp, segment: Segment, heads: int, of: int) -> int:
    """Units of a segment before what belongs to KV head `heads`, of `of`."""
    if heads == of:
        return segment.units
    units, rest = divmod(segment.rows * heads, segment.unit_rows * of)
    if rest:
        raise ProgramError(
            f"{heads} of {of} heads have no whole units of {segment.rows} rows",
            where=f"stage @{stage_name(stage)}",
        )
    return units


def row_ranges(stage: StageOp, segment: Segment) -> tuple[range, ...]:
    """The rows of a segment's linears of which each worker has results; see `unit_ranges`."""
    size = segment.unit_rows
    return tuple(
        range(min(segment.rows, units.start * size), min(segment.rows, units.stop * size))
        for units in unit_ranges(stage, segment)
    )


def bound_ranges(shard: Shard, whole: int) -> tuple[range, ...]:
    """What each worker has of `whole` features, of which each KV head or column has as many."""
    ends = [whole * bound // shard.bounds[-1] for bound in shard.bounds]
    return tuple(range(low, high) for low, high in pairwise(ends))
