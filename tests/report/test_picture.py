from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.passes.pipeline import map_program
from headrace.report.dataflow import dataflow
from headrace.report.picture.draw import draw_program
from headrace.report.picture.layout import Layout, lay_out
from headrace.report.picture.svg import Box, Canvas
from headrace.report.stages import stage_rows
from tests.passes.decoder import SMOLLM2, Decoder, captured
from tests.passes.structures import STRUCTURES, Structured
from tests.report.test_dataflow import SHAPES

SVG = "{http://www.w3.org/2000/svg}"


def picture_of(shape: Decoder, title: str = "a model") -> ElementTree.Element:
    module = captured(shape)
    map_program(module, 2)
    return ElementTree.fromstring(draw_program(module, stage_rows(module, 0), title))


def words(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def layout_of(shape: Decoder) -> Layout:
    module = captured(shape)
    map_program(module, 2)
    rows = {row.name: row for row in stage_rows(module, 0)}
    return lay_out(dataflow(module), rows)


def test_smollm2_in_one_picture() -> None:
    found = words(picture_of(SMOLLM2))
    for word in ("× 30", "qkv", "attention", "out", "gate_up", "down", "KV cache", "lm_head"):
        assert word in found
    assert "rows: 7+8 units of 64" in found
    assert "1536 × 576  q4_1" in found
    assert "next trip: T × 576" in found
    assert any("5 stages a layer" in word for word in found)


@pytest.mark.parametrize("builder", STRUCTURES)
def test_every_structure_has_a_picture(builder: type[Structured]) -> None:
    module = builder(Decoder(format="f32")).module()
    map_program(module, 2)
    picture = ElementTree.fromstring(draw_program(module, stage_rows(module, 0), "a model"))
    assert "KV cache" in words(picture)


def test_token_edges_are_dots() -> None:
    dots = list(picture_of(SMOLLM2).iter(f"{SVG}circle"))
    assert len(dots) == 8 + 1  # embed, five in the loop, head and sample; and the legend's


@pytest.mark.parametrize("name", SHAPES)
def test_cards_do_not_overlap(name: str) -> None:
    layout = layout_of(SHAPES[name])
    places = (layout.nodes, layout.weights, layout.caches)
    boxes = [placed.box for each in places for placed in each.values()]
    for left, right in combinations(boxes, 2):
        assert not overlap(left, right)
    for box in boxes:
        assert box.x >= 0
        assert box.right <= layout.width
        assert box.bottom <= layout.bottom
    for x in layout.lanes.values():
        assert all(x > box.right for box in boxes)
        assert x < layout.width


def overlap(left: Box, right: Box) -> bool:
    beside = left.right <= right.x or right.right <= left.x
    above = left.bottom <= right.y or right.bottom <= left.y
    return not (beside or above)


@pytest.mark.parametrize("name", SHAPES)
def test_frames_hold_their_loops(name: str) -> None:
    shape = SHAPES[name]
    module = captured(shape)
    map_program(module, 2)
    flow = dataflow(module)
    layout = lay_out(flow, {row.name: row for row in stage_rows(module, 0)})
    assert len(layout.frames) == len(flow.trips)
    for node in flow.nodes:
        box = layout.nodes[node.name].box
        for number, frame in enumerate(layout.frames):
            assert overlap(box, frame) == (node.loop == number)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_stays_well_formed(text: str) -> None:
    canvas = Canvas()
    canvas.text((1, 2), text, 12, text)
    ElementTree.fromstring(canvas.document(10, 10, text))


def test_arrows_turn_through_corners() -> None:
    canvas = Canvas()
    canvas.arrow(((0, 0), (0, 50), (50, 50)), "black")
    path, head = canvas.elements
    assert "M0 0 L0 41 Q0 50 9 50 L50 50" in path
    assert 'points="50,50 41,' in head
