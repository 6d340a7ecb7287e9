"""The explanation of a program as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table

from headrace.report.explanation import Explanation, StageTime
from headrace.report.stages import StageRow
from headrace.report.text import edge_text, sharding_text, tile_text, trips_text, workers_text
from headrace.report.units import bandwidth_text, bytes_text, seconds_text

_LEFT = ("stage", "fused, in order")
_MIDDLE = ("bytes a token", "tile", "sharding", "waits for")
_RIGHT = ("predicted", "measured", "of it waiting")


def print_explanation(console: Console, explanation: Explanation) -> None:
    """Print a row for each stage, and the totals below."""
    console.print(stage_table(explanation))
    console.print(totals(explanation))


def stage_table(explanation: Explanation) -> Table:
    """One row a stage; figures of stages in loops are sums over the trips."""
    table = Table(title=_title(explanation), title_justify="left", caption_justify="left")
    table.caption = "stages marked × are in a loop; their figures are for all trips of a step"
    for name in _LEFT:
        table.add_column(name, overflow="fold")
    for name in _MIDDLE:
        table.add_column(name, justify="right" if name.startswith("bytes") else "left")
    for name in _RIGHT:
        table.add_column(name, justify="right")
    for row in explanation.rows:
        table.add_row(*_cells(explanation, row))
    return table


def _title(explanation: Explanation) -> str:
    workers = workers_text(explanation.program.workers)
    return f"{explanation.name}: one token after {explanation.kv_tokens}, {workers}"


def _cells(explanation: Explanation, row: StageRow) -> Iterator[RenderableType]:
    yield f"{row.name} [dim]{trips_text(row)}[/dim]".strip()
    yield " · ".join(operator.text for operator in row.operators)
    yield bytes_text(row.bytes) if row.bytes else "-"
    yield tile_text(row.weights) or "-"
    yield sharding_text(row.shard, row.unit_rows)
    yield ", ".join(edge_text(edge) for edge in row.edges) or "-"
    yield _percent(explanation.predicted_share(row))
    yield from _measured(explanation.measured_time(row))


def _measured(time: StageTime | None) -> Iterator[str]:
    if time is None:
        yield from ("-", "-")
    else:
        yield _percent(time.share)
        yield _percent(time.wait)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def totals(explanation: Explanation) -> Table:
    """The whole program's figures, and the roofline of this machine."""
    table = Table.grid(padding=(0, 2))
    for name, value in _totals(explanation):
        table.add_row(name, value)
    return table


def _totals(explanation: Explanation) -> Iterator[tuple[str, str]]:
    program, manifest = explanation.program, explanation.manifest
    if program.loops:
        trips = ", ".join(map(str, program.loops))
        yield "layers", f"{program.layers}, in a loop of {trips} trips"
        yield "stages a layer", f"{program.stages_per_layer:g}"
    yield "stages in all", str(len(explanation.rows))
    yield "bytes a token", _bytes(explanation)
    yield "exchanges a step", f"{program.exchanges_per_step} waits for other workers"
    yield "token edges a step", str(manifest.token_edges_per_step)
    yield "roofline", _speed(explanation.roofline_seconds) + _bandwidth(explanation)
    yield "predicted", _speed(explanation.predicted_seconds)
    if explanation.measured is not None:
        seconds = explanation.measured.step_seconds
        fraction = explanation.roofline_seconds / seconds
        yield "measured", f"{_speed(seconds)}, {fraction:.2f} of the roofline"
        yield "host calls a token", f"{explanation.measured.host_calls_per_token:.3f}"


def _bytes(explanation: Explanation) -> str:
    keys = sum(row.kv_bytes for row in explanation.rows)
    weights = explanation.bytes_per_token - keys
    total = bytes_text(explanation.bytes_per_token)
    return f"{total}: weights {bytes_text(weights)}, keys and values {bytes_text(keys)}"


def _bandwidth(explanation: Explanation) -> str:
    how = "described" if explanation.measured is None else "measured"
    return f" at {bandwidth_text(explanation.machine.read_bandwidth)} ({how})"


def _speed(seconds: float) -> str:
    return f"{seconds_text(seconds)} a step, {1 / seconds:.0f} tokens/s"
