"""The explanation of a program as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from headrace.report.explanation import Explanation
from headrace.report.stages import StageRow
from headrace.report.text import edge_text, sharding_text, tile_text, trips_text, workers_text
from headrace.report.units import bandwidth_text, bytes_text, seconds_text

_FUSED = "fused, in order"
_TEXTS = ("stage", _FUSED, "tile", "sharding", "waits for")
_PREDICTED, _MEASURED = ("bytes", "pred."), ("meas.", "ratio", "wait")
_CAPTION = (
    "bytes: read for one token; pred., meas.: time in a step, predicted and measured; ratio: "
    "predicted over measured; wait: the share of the step spent waiting. Stages marked × are in a "
    "loop, their figures are of all its trips."
)


#: Columns that a table with all texts needs; below, what is fused stands in a table of its own.
_WIDE = 110


def print_explanation(console: Console, explanation: Explanation) -> None:
    """Print a row for each stage, and the totals below."""
    wide = console.width >= _WIDE
    console.print(stage_table(explanation, fused=wide))
    if not wide:
        console.print(_fused_table(explanation))
    console.print(totals(explanation))


def stage_table(explanation: Explanation, *, fused: bool = True) -> Table:
    """One row a stage; figures of stages in loops are sums over the trips.

    Args:
        fused: whether the operators of each stage have a column.
    """
    table = Table(title=_title(explanation), caption=_CAPTION, box=box.SIMPLE_HEAD, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    for name in _TEXTS:
        if fused or name != _FUSED:
            table.add_column(name)
    for name in (*_PREDICTED, *(_MEASURED if explanation.measured else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for row in explanation.rows:
        operators = (_operators(row),) if fused else ()
        table.add_row(_stage(row), *operators, *_cells(explanation, row))
    return table


def _fused_table(explanation: Explanation) -> Table:
    table = Table("stage", _FUSED, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in explanation.rows:
        table.add_row(_stage(row), _operators(row))
    return table


def _stage(row: StageRow) -> str:
    return f"[bold]{row.name}[/bold] {trips_text(row)}".strip()


def _operators(row: StageRow) -> str:
    return " · ".join(operator.text for operator in row.operators)


def _title(explanation: Explanation) -> str:
    workers = workers_text(explanation.program.workers)
    return f"{explanation.name}: one token after {explanation.kv_tokens}, {workers}"


def _cells(explanation: Explanation, row: StageRow) -> Iterator[str]:
    yield tile_text(row.weights) or "-"
    yield sharding_text(row.shard, row.unit_rows)
    yield ", ".join(edge_text(edge) for edge in row.edges) or "-"
    yield bytes_text(row.bytes) if row.bytes else "-"
    predicted, measured = explanation.predicted(row).seconds, explanation.measured_seconds(row)
    yield seconds_text(predicted)
    time = explanation.measured_time(row)
    if time is not None and measured is not None:
        yield from (seconds_text(measured), f"{predicted / measured:.2f}", _percent(time.wait))


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
    yield "of it", _causes(explanation)
    if explanation.measured is not None:
        seconds = explanation.measured.step_seconds
        fraction = explanation.roofline_seconds / seconds
        yield "measured", f"{_speed(seconds)}, {fraction:.2f} of the roofline"
        yield "predicted / measured", f"{explanation.predicted_seconds / seconds:.2f}"
        yield "host calls a token", f"{explanation.measured.host_calls_per_token:.3f}"


def _causes(explanation: Explanation) -> str:
    """What the predicted time is spent on."""
    costs = [explanation.predicted(row) for row in explanation.rows]
    parts = {
        "reading": sum(cost.read for cost in costs),
        "arithmetic beside it": sum(cost.arithmetic for cost in costs),
        "rows": sum(cost.rows for cost in costs),
        "exchanges": sum(cost.exchange for cost in costs),
    }
    return ", ".join(f"{name} {seconds_text(seconds)}" for name, seconds in parts.items())


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
