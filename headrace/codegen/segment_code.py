"""The products and the epilogue of one segment on the units that a worker owns."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import OpResult

from headrace.codegen.places import Places
from headrace.codegen.product import product
from headrace.codegen.tile import F32, I64, Value
from headrace.codegen.tile_format import TILE_COLS, TILE_ROWS, Form, TileFormat, tile_format
from headrace.codegen.trace import Trace
from headrace.codegen.unit_code import UnitCode
from headrace.codegen.widths import (
    chunk_units,
    padded,
    unit_scratch_rows,
    unit_tiles,
    weight_format,
    width,
)
from headrace.errors import ProgramError
from headrace.ir.shares import unit_ranges
from headrace.ir.stages import Segment, has_axis


@dataclass(frozen=True, slots=True)
class Factor:
    """The products' input: the columns of it that the worker takes, and its form.

    first: of the columns. counts: how many each worker takes.
    """

    places: Places
    first: Value
    counts: tuple[int, ...]
    form: Form

    @property
    def blocks(self) -> Value:
        """Blocks of 32 columns."""
        return self.places.by_worker([-(-count // TILE_COLS) for count in self.counts], "blocks")

    def tile_bytes(self, format: TileFormat) -> Value:
        """Bytes of a tile of the columns."""
        sizes = [format.tile_bytes(padded(count)) for count in self.counts]
        return self.places.by_worker(sizes, f"tile_{format.name}")


class SegmentCode:
    """Emits one segment; `index` is its number in the stage."""

    def __init__(self, places: Places, segment: Segment, factor: Factor, index: int) -> None:
        self.at, self.e = places, places.e
        self.segment, self.factor, self.index = segment, factor, index
        self.format = _common_format(places, segment)

    @property
    def unit_bytes(self) -> Value:
        """Bytes of one unit in the stream."""
        tiles = unit_tiles(self.segment) * len(self.segment.linears)
        return self.factor.tile_bytes(self.format) * tiles

    def emit(self, weights: Value) -> Value:
        """Emit; `weights` is where the segment starts in the stream, the result where it ends."""
        first, last = self._units()
        result = self._direct_result()
        if result is not None:
            by_columns = has_axis(self.at.stage, "columns")
            out = self.at.own_part(result) if by_columns else self.at.buffer(result)
            stride = padded(width(result))
            start = self.at.first_row * stride + first * self.segment.unit_rows
            self._multiply(weights, self.e.offset(out, start, F32), last - first, stride)
        else:
            self._in_chunks(weights, first, last)
        return self.e.offset(weights, (last - first) * self.unit_bytes)

    def _units(self) -> tuple[Value, Value]:
        """The units of this segment that the worker owns."""
        own = unit_ranges(self.at.stage, self.segment)
        low = self.at.by_worker([units.start for units in own], f"first_{self.index}")
        high = self.at.by_worker([units.stop for units in own], f"last_{self.index}")
        return low, high

    def _direct_result(self) -> OpResult | None:
        """The stage's result that the products are, if nothing happens to them after."""
        (linear, *more) = self.segment.linears
        yielded = list(self.at.stage.yielded)
        plain = not more and not linear.bias and len(list(linear.result.uses)) == 1
        if not plain or linear.result not in yielded or self.segment.unit_rows % TILE_ROWS:
            return None
        return self.at.stage.results_[yielded.index(linear.result)]

    def _multiply(self, weights: Value, out: Value, units: Value, stride: Value | int) -> None:
        """Products of some units for all rows; rows of `out` are `stride` floats apart."""
        e = self.e
        kernel = product(e.module, self.format, e.features)
        tiles = units * (unit_tiles(self.segment) * len(self.segment.linears))
        records, rows = self.at.private(self.at.plan.scratch.records), self.at.row_count
        blocks = self.factor.blocks
        e.call(kernel, weights, records, blocks, out, tiles, rows, e.like(stride, I64))

    def _in_chunks(self, weights: Value, first: Value, last: Value) -> None:
        """Products into scratch, then their epilogue: one token's at once, several in chunks."""
        e, rows = self.e, self.at.row_count
        unit_floats = unit_scratch_rows(self.segment)
        out = self.at.private(self.at.plan.scratch.product)
        most = e.select(rows.equals(1), e.i64(self.segment.units), chunk_units(self.segment))
        stride = most * unit_floats
        with e.range(first, last, most) as start:
            units = e.minimum(most, last - start)
            source = e.offset(weights, (start - first) * self.unit_bytes)
            self._multiply(source, out, units, stride)
            trace = Trace(e, self.at.frame, self.at.plan.traced)
            with trace.during("epilogue"), e.range(0, units) as unit, e.range(0, rows) as row:
                line = e.offset(out, row * stride, F32)
                products = e.offset(line, unit * unit_floats, F32)
                token = self.at.first_row + row
                UnitCode(self.at, self.segment, products, start + unit, token).emit()


def _common_format(places: Places, segment: Segment) -> TileFormat:
    formats = {weight_format(linear.weight) for linear in segment.linears}
    if len(formats) != 1:
        raise ProgramError(
            "linears that meet in one map must have weights of one format", where=places.name
        )
    return tile_format(formats.pop())
