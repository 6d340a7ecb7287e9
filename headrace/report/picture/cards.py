"""The cards of the picture: a stage with its operators, its weights, a KV cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from xdsl.ir import SSAValue

from headrace.ir.mapping_ops import StageOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.shapes import features_of
from headrace.ir.types import WeightType
from headrace.report.operators import weight_label
from headrace.report.picture.style import BANDS, Ink
from headrace.report.picture.svg import Box, Canvas, text_width
from headrace.report.stages import StageRow, append_of, cache_token_bytes
from headrace.report.text import sharding_text
from headrace.report.units import bytes_text

HEADER, LINE, CHIP, PAD = 34.0, 19.0, 24.0, 12.0
BAND = CHIP + 12.0
STAGE_WIDTH, SIDE_WIDTH = 540.0, 268.0


class Card(Protocol):
    """Something with a size that draws itself into a box of this size."""

    @property
    def width(self) -> float: ...

    @property
    def height(self) -> float: ...

    def draw(self, canvas: Canvas, box: Box) -> None: ...


@dataclass(frozen=True, slots=True)
class StageCard:
    """A stage: its name, its sharding, and a band of operators for each role."""

    row: StageRow
    width: float = STAGE_WIDTH

    @property
    def bands(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        texts = {role: [o.text for o in self.row.operators if o.role == role] for role in BANDS}
        return tuple((role, tuple(found)) for role, found in texts.items() if found)

    @property
    def height(self) -> float:
        return HEADER + BAND * len(self.bands) + 4

    def draw(self, canvas: Canvas, box: Box) -> None:
        canvas.rectangle(box, Ink.CARD, Ink.LINE, radius=9)
        base = box.y + 22
        canvas.text((box.x + PAD, base), self.row.name, 16, Ink.TEXT, bold=True)
        sharding = sharding_text(self.row.shard, self.row.unit_rows)
        canvas.text((box.right - PAD, base), sharding, 12, Ink.MUTED, anchor="end")
        for index, (role, texts) in enumerate(self.bands):
            band = Box(box.x + 4, box.y + HEADER + BAND * index, box.width - 8, BAND)
            _draw_band(canvas, band, role, texts)


def _draw_band(canvas: Canvas, band: Box, role: str, texts: Sequence[str]) -> None:
    fill, ink = BANDS[role]
    if role != "body":
        canvas.text((band.x + 8, band.middle + 4), role, 11, Ink.MUTED)
    x = band.x + (82 if role != "body" else 8)
    for index, text in enumerate(texts):
        if index and role != "product":
            canvas.text((x - 10, band.middle + 4), "›", 13, Ink.MUTED, anchor="middle")
        width = text_width(text, 12.5) + 16
        canvas.rectangle(Box(x, band.y + 6, width, CHIP), fill, ink, radius=12)
        canvas.text((x + width / 2, band.middle + 4.5), text, 12.5, Ink.TEXT, anchor="middle")
        x += width + (20 if role != "product" else 8)


@dataclass(frozen=True, slots=True)
class WeightsCard:
    """The weights of a stage: names, shapes and formats, and the bytes of a trip.

    A stage in a loop has one set of them a trip: it is drawn as a pile.
    """

    lines: tuple[tuple[str, str], ...]
    total: str
    pile: bool
    width: float = SIDE_WIDTH

    @property
    def height(self) -> float:
        return LINE * (len(self.lines) + 1) + 16

    def draw(self, canvas: Canvas, box: Box) -> None:
        for offset in (6, 3) if self.pile else ():
            canvas.rectangle(box.moved(-offset, offset), Ink.WEIGHT, Ink.WEIGHT_LINE, radius=4)
        canvas.rectangle(box, Ink.WEIGHT, Ink.WEIGHT_LINE, radius=4)
        y = box.y + 20
        for name, shape in self.lines:
            canvas.text((box.x + PAD, y), name, 12.5, Ink.TEXT)
            canvas.text((box.right - PAD, y), shape, 12, Ink.MUTED, anchor="end")
            y += LINE
        canvas.text((box.right - PAD, y), self.total, 12, Ink.TEXT, anchor="end", bold=True)


def weights_card(stage: StageOp, row: StageRow) -> WeightsCard | None:
    """The weights that a stage reads; None if it has none."""
    lines = tuple(_weight_lines(stage))
    if not lines:
        return None
    size = sum(row.worker_bytes) // row.trips
    if not size:
        return WeightsCard(lines, "held in each worker's cache", row.trips > 1)
    what = "a row" if row.kind == "embedding" else "a trip" if row.trips > 1 else "a step"
    return WeightsCard(lines, f"{bytes_text(size)} {what}", row.trips > 1)


def _weight_lines(stage: StageOp) -> Iterator[tuple[str, str]]:
    for op in stage.block.ops:
        if isinstance(op, WeightOp):
            assert isinstance(op.result.type, WeightType)
            shape = " × ".join(map(str, op.result.type.shape))
            yield weight_label(op), f"{shape}  {op.result.type.format.data}"


@dataclass(frozen=True, slots=True)
class CacheCard:
    """A KV cache as a drum."""

    lines: tuple[str, ...]
    width: float = SIDE_WIDTH
    lid: float = 9

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + 2 * self.lid + 12

    def draw(self, canvas: Canvas, box: Box) -> None:
        rx, left, right = box.width / 2, box.x, box.right
        top, bottom = box.y + self.lid, box.bottom - self.lid
        arc = f"{rx:g} {self.lid:g} 0 0"
        side = f"M{left:g} {top:g} V{bottom:g} A{arc} 0 {right:g} {bottom:g} V{top:g}"
        style: dict[str, Any] = {"stroke": Ink.CACHE_LINE, "stroke_width": 1.2}
        canvas.add("path", d=side, fill=Ink.CACHE, **style)
        canvas.add("ellipse", cx=box.centre, cy=top, rx=rx, ry=self.lid, fill=Ink.CACHE, **style)
        for index, line in enumerate(self.lines):
            at = (box.centre, top + self.lid + 14 + LINE * index)
            canvas.text(at, line, 12.5, Ink.TEXT, anchor="middle", bold=index == 0)


def cache_card(cache: SSAValue) -> CacheCard:
    """The cache that an attention stage reads."""
    append = append_of(cache)
    heads, head = features_of(append.key)
    format = "f32" if append.format is None else append.format.data
    shape = f"keys, values: {heads} heads × {head}  {format}"
    return CacheCard(("KV cache", shape, f"{bytes_text(cache_token_bytes(cache))} a token, layer"))


@dataclass(frozen=True, slots=True)
class PillCard:
    """The program's input or output, or what a loop carries."""

    text: str
    width: float = 240
    height: float = 30

    def draw(self, canvas: Canvas, box: Box) -> None:
        canvas.rectangle(box, Ink.PILL, Ink.LINE, radius=15)
        canvas.text((box.centre, box.middle + 4.5), self.text, 13, Ink.TEXT, anchor="middle")
