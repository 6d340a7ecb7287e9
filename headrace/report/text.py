"""Short texts about stages, for the table and the picture alike."""

from __future__ import annotations

from itertools import pairwise

from headrace.codegen.tile_format import TILE_COLS, TILE_ROWS
from headrace.ir.types import Shard
from headrace.report.stages import Edge, StageRow

_AXES = {
    "context": "by KV entry",
    "tokens": "by token",
    "all": "every worker",
}


def sharding_text(shard: Shard, unit_rows: tuple[int, ...]) -> str:
    """How a stage is divided: `rows: 7+8 units of 64`, `heads: 4+4`, `columns: 768+768`."""
    if not shard.bounds:
        return _AXES[shard.axis]
    units = [high - low for low, high in pairwise(shard.bounds)]
    if shard.axis != "rows":
        return f"{shard.axis}: {_counts(units)}"
    sizes = "/".join(str(size) for size in dict.fromkeys(unit_rows))
    return f"rows: {_counts(units)} units of {sizes}"


def _counts(units: list[int]) -> str:
    if len(units) <= 4:
        return "+".join(map(str, units))
    low, high = min(units), max(units)
    return f"{len(units)} × {low}" if low == high else f"{len(units)} × {low} to {high}"


def tile_text(weights: tuple[str, ...]) -> str:
    """The tiles that a stage streams: `32×32 q4_1`; empty where it streams none."""
    return ", ".join(f"{TILE_ROWS}×{TILE_COLS} {name}" for name in weights)


def edge_text(edge: Edge) -> str:
    """`down of the trip before` for an edge of distance 1."""
    if edge.distance == 0:
        return edge.stage
    return f"{edge.stage} (last trip)" if edge.distance == 1 else f"{edge.stage} (-{edge.distance})"


def workers_text(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def trips_text(row: StageRow) -> str:
    return f"×{row.trips}" if row.trips > 1 else ""
