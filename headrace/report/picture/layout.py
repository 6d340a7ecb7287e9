"""Places of everything in the picture: stages in one column, weights to its left, lanes right."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.report.dataflow import CacheFlow, Dataflow, Node, Stream
from headrace.report.picture.cards import (
    SIDE_WIDTH,
    STAGE_WIDTH,
    Card,
    PillCard,
    StageCard,
    cache_card,
    weights_card,
)
from headrace.report.picture.svg import Box, text_width
from headrace.report.stages import StageRow

MARGIN, TITLE, GAP, FRAME_PAD, SIDE_GAP = 28.0, 78.0, 46.0, 26.0, 44.0
LANE_GAP = 34.0
LABEL_SIZE = 12.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A card in its box."""

    card: Card
    box: Box


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes of nodes by name, of weights by their stage's name, of caches, frames by loop.

    `lanes` gives each stream that passes nodes by the x of its vertical part.
    """

    nodes: dict[str, Placed]
    weights: dict[str, Placed]
    caches: dict[CacheFlow, Placed]
    frames: tuple[Box, ...]
    lanes: dict[Stream, float]
    width: float
    bottom: float


def lay_out(flow: Dataflow, rows: dict[str, StageRow]) -> Layout:
    """Place a program's graph."""
    placed = _Column(flow, rows)
    lanes, lanes_right = _lanes(flow, placed.left + STAGE_WIDTH)
    frames = tuple(_frame(flow, placed, number, lanes) for number in range(len(flow.trips)))
    right = max([lanes_right, *(frame.right for frame in frames)])
    return Layout(
        placed.nodes, placed.weights, placed.caches, frames, lanes, right + MARGIN, placed.y
    )


class _Column:
    """The nodes from top to bottom, with what stands beside each."""

    def __init__(self, flow: Dataflow, rows: dict[str, StageRow]) -> None:
        self.flow, self.rows = flow, rows
        self.left = MARGIN + FRAME_PAD + SIDE_WIDTH + SIDE_GAP
        self.y = TITLE
        self.nodes: dict[str, Placed] = {}
        self.weights: dict[str, Placed] = {}
        self.caches: dict[CacheFlow, Placed] = {}
        loop: int | None = None
        for node in flow.nodes:
            if node.loop != loop:
                self.y += FRAME_PAD
                loop = node.loop
            self._place(node)

    def _place(self, node: Node) -> None:
        card = _node_card(node, self.flow, self.rows)
        beside = self._beside(node)
        height = max([card.height, *(each.height for each in beside.values())])
        x = self.left + (STAGE_WIDTH - card.width) / 2
        y = self.y + (height - card.height) / 2
        self.nodes[node.name] = Placed(card, Box(x, y, card.width, card.height))
        for what, each in beside.items():
            y = self.y + (height - each.height) / 2
            box = Box(self.left - SIDE_GAP - each.width, y, each.width, each.height)
            if isinstance(what, CacheFlow):
                self.caches[what] = Placed(each, box)
            else:
                self.weights[what] = Placed(each, box)
        self.y += height + GAP

    def _beside(self, node: Node) -> dict[str | CacheFlow, Card]:
        """The card at the left of a node: a cache, or weights."""
        for cache in self.flow.caches:
            if cache.reader == node.name:
                return {cache: cache_card(cache.value)}
        if node.kind != "stage":
            return {}
        card = weights_card(self.flow.stages[node.name], self.rows[node.name])
        return {} if card is None else {node.name: card}


def _node_card(node: Node, flow: Dataflow, rows: dict[str, StageRow]) -> Card:
    if node.kind == "stage":
        return StageCard(rows[node.name])
    if node.kind == "carry":
        labels = {each.label for each in flow.streams if each.target == node.name}
        return PillCard(f"carried: {', '.join(sorted(labels))}")
    return PillCard("T tokens" if node.kind == "input" else "next tokens")


def is_lane(flow: Dataflow, stream: Stream) -> bool:
    """Whether a stream passes other nodes by (or goes back up)."""
    order = _order(flow)
    return order[stream.target] - order[stream.source] != 1


def _order(flow: Dataflow) -> dict[str, int]:
    return {node.name: index for index, node in enumerate(flow.nodes)}


def _lanes(flow: Dataflow, column_right: float) -> tuple[dict[Stream, float], float]:
    """The x of each passing stream, short ones inside, and how far to the right they reach.

    Streams share a lane when they do not overlap; a lane is as far from the next as its label
    needs.
    """
    order = _order(flow)
    spans = {
        each: tuple(sorted((order[each.source], order[each.target])))
        for each in flow.streams
        if is_lane(flow, each)
    }
    lanes: list[list[Stream]] = []
    for stream in sorted(spans, key=lambda each: (each.back, spans[each][1] - spans[each][0])):
        free = (lane for lane in lanes if all(_apart(spans[stream], spans[s]) for s in lane))
        lane = next(free, None)
        if lane is None:
            lanes.append([stream])
        else:
            lane.append(stream)
    x, found = column_right + LANE_GAP, dict[Stream, float]()
    for lane in lanes:
        found.update(dict.fromkeys(lane, x))
        x += LANE_GAP + max(text_width(lane_label(each), LABEL_SIZE) for each in lane)
    return found, x


def _apart(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return left[1] <= right[0] or right[1] <= left[0]


def lane_label(stream: Stream) -> str:
    """What is written beside a passing stream."""
    notes = {"all": "", "own": ", own rows", "private": ", private"}
    return ("next trip: " if stream.back else "") + stream.label + notes[stream.reading]


def _frame(flow: Dataflow, placed: _Column, number: int, lanes: dict[Stream, float]) -> Box:
    """The box around a loop's nodes, their weights and their lanes."""
    names = {node.name for node in flow.nodes if node.loop == number}
    boxes = [placed.nodes[name].box for name in names]
    boxes += [each.box for name, each in placed.weights.items() if name in names]
    boxes += [each.box for cache, each in placed.caches.items() if cache.reader in names]
    right = [
        x + 12 + text_width(lane_label(s), LABEL_SIZE)
        for s, x in lanes.items()
        if s.target in names and s.source in names
    ]
    left = placed.left - SIDE_GAP - SIDE_WIDTH - FRAME_PAD
    top = min(box.y for box in boxes) - FRAME_PAD
    bottom = max(box.bottom for box in boxes) + FRAME_PAD
    edge = max([placed.left + STAGE_WIDTH, *right]) + FRAME_PAD / 2
    return Box(left, top, edge - left, bottom - top)
