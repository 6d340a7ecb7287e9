"""The drawing: cards in their places, streams between them, token edges on the streams."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from headrace.passes.report import ProgramReport, report
from headrace.report.dataflow import Dataflow, Stream, Wait, dataflow
from headrace.report.picture.layout import (
    LABEL_SIZE,
    MARGIN,
    Layout,
    is_lane,
    lane_label,
    lay_out,
)
from headrace.report.picture.style import Ink
from headrace.report.picture.svg import Box, Canvas, Point
from headrace.report.stages import StageRow
from headrace.report.text import workers_text
from headrace.report.units import bytes_text

_READING_INK = {"all": Ink.STREAM, "own": Ink.OWN, "private": Ink.OWN}
_LEGEND = 56.0


def draw_program(module: ModuleOp, rows: tuple[StageRow, ...], title: str) -> str:
    """A mapped program as the text of an SVG file.

    Args:
        rows: its stages in figures (`stage_rows`).
        title: the model's name.

    Raises:
        ProgramError: the program is not mapped.
    """
    flow = dataflow(module)
    layout = lay_out(flow, {row.name: row for row in rows})
    return _Drawing(flow, layout).document(title, _subtitle(report(module), rows))


def _subtitle(program: ProgramReport, rows: tuple[StageRow, ...]) -> str:
    weights = bytes_text(sum(sum(row.worker_bytes) for row in rows))
    facts = [f"{weights} of weights a token", workers_text(program.workers)]
    facts.append(f"{program.exchanges_per_step} exchanges a step")
    if program.loops:
        facts.insert(0, f"{program.stages_per_layer:g} stages a layer")
    return " · ".join(facts)


class _Drawing:
    def __init__(self, flow: Dataflow, layout: Layout) -> None:
        self.flow, self.layout = flow, layout
        self.canvas = Canvas()

    def document(self, title: str, subtitle: str) -> str:
        width, height = self.layout.width, self.layout.bottom + _LEGEND
        self.canvas.rectangle(Box(0, 0, width, height), Ink.PAPER, radius=0)
        self.canvas.text((MARGIN, 36), title, 20, Ink.TEXT, bold=True)
        self.canvas.text((MARGIN, 58), subtitle, 13, Ink.MUTED)
        self._frames()
        self._side_arrows()
        for stream in self.flow.streams:
            self._lane(stream) if is_lane(self.flow, stream) else self._straight(stream)
        for wait in self.flow.waits:
            self._wait(wait)
        self._cards()
        self._legend(self.layout.bottom - 10)
        return self.canvas.document(width, height, title)

    def _frames(self) -> None:
        for trips, box in zip(self.flow.trips, self.layout.frames, strict=True):
            self.canvas.rectangle(box, Ink.FRAME, Ink.FRAME_LINE, radius=12, dash="7 5")
            badge = f"× {trips}"
            self.canvas.text((box.x + 16, box.y + 34), badge, 24, Ink.TEXT, bold=True)
            note = f"one loop, {trips} trips"
            self.canvas.text((box.x + 16, box.y + 54), note, 12, Ink.MUTED)

    def _cards(self) -> None:
        for places in (self.layout.nodes, self.layout.weights, self.layout.caches):
            for placed in places.values():
                placed.card.draw(self.canvas, placed.box)

    def _side_arrows(self) -> None:
        """Weights into their stages; keys and values through the cache."""
        for stage, placed in self.layout.weights.items():
            target = self.layout.nodes[stage].box
            at = (placed.box.right, placed.box.middle), (target.x, placed.box.middle)
            self.canvas.arrow(at, Ink.WEIGHT_LINE)
        for cache, placed in self.layout.caches.items():
            reader = self.layout.nodes[cache.reader].box
            at = (placed.box.right, reader.middle), (reader.x, reader.middle)
            self.canvas.arrow(at, Ink.CACHE_LINE)
            self._append(cache.writer, placed.box)

    def _append(self, name: str, cache: Box) -> None:
        writer, weights = self.layout.nodes[name].box, self.layout.weights.get(name)
        bottom = writer.bottom if weights is None else max(writer.bottom, weights.box.bottom)
        x, turn = writer.x + 40, bottom + 18
        corner: tuple[Point, ...] = ((x, writer.bottom), (x, turn), (cache.centre + 60, turn))
        self.canvas.arrow((*corner, (cache.centre + 60, cache.y)), Ink.CACHE_LINE)
        self.canvas.text((x + 10, turn + 4), "append", LABEL_SIZE, Ink.CACHE_LINE)

    def _straight(self, stream: Stream) -> None:
        source = self.layout.nodes[stream.source].box
        target = self.layout.nodes[stream.target].box
        x = source.centre + self._offset(stream)
        self.canvas.arrow(((x, source.bottom), (x, target.y)), _READING_INK[stream.reading])
        middle = (source.bottom + target.y) / 2
        self._label((x + 16, middle + 4), lane_label(stream))
        if stream.token:
            self._token((x, middle))

    def _offset(self, stream: Stream) -> float:
        """Streams between the same nodes run side by side."""
        ends = (stream.source, stream.target)
        beside = [each for each in self.flow.streams if (each.source, each.target) == ends]
        return 190.0 * beside.index(stream)

    def _lane(self, stream: Stream) -> None:
        source = self.layout.nodes[stream.source].box
        target = self.layout.nodes[stream.target].box
        x = self.layout.lanes[stream]
        start = source.bottom - self._inset(stream)
        end = target.y + 9 if stream.back else target.y + 17
        points = ((source.right, start), (x, start), (x, end), (target.right, end))
        self.canvas.arrow(points, _READING_INK[stream.reading])
        middle = (start + end) / 2
        self._label((x + 10, middle + 4), lane_label(stream))
        if stream.token:
            self._token((x, middle))

    def _inset(self, stream: Stream) -> float:
        """Lanes that leave one node start one above the other."""
        siblings = [each for each in self.layout.lanes if each.source == stream.source]
        return 9.0 + 14.0 * siblings.index(stream)

    def _wait(self, wait: Wait) -> None:
        source, target = self.layout.nodes[wait.source].box, self.layout.nodes[wait.target].box
        x = source.x - 18
        points = ((source.x, source.middle), (x, source.middle), (x, target.y + 12))
        self.canvas.arrow((*points, (target.x, target.y + 12)), Ink.TOKEN, 1.4, dash="5 4")

    def _token(self, at: Point) -> None:
        self.canvas.add(
            "circle", cx=at[0], cy=at[1], r=5.5, fill=Ink.TOKEN, stroke=Ink.PAPER, stroke_width=1.5
        )

    def _label(self, at: Point, text: str) -> None:
        self.canvas.text(at, text, LABEL_SIZE, Ink.STREAM)

    def _legend(self, y: float) -> None:
        self._token((MARGIN + 28, y + 14))
        self._note((MARGIN, y), "token edge: wait until all workers have given theirs")
        for at, ink, text in (
            ((MARGIN + 400, y), Ink.STREAM, "read by every worker"),
            ((MARGIN + 640, y), Ink.OWN, "own rows or own copy: no exchange"),
            ((MARGIN, y + 24), Ink.WEIGHT_LINE, "weights, streamed from memory once a step"),
            ((MARGIN + 400, y + 24), Ink.CACHE_LINE, "keys and values"),
        ):
            self.canvas.arrow(((at[0], at[1] + 14), (at[0] + 34, at[1] + 14)), ink)
            self._note(at, text)

    def _note(self, at: Point, text: str) -> None:
        self.canvas.text((at[0] + 44, at[1] + 18), text, LABEL_SIZE, Ink.MUTED)
