"""Colours: each says one thing wherever it appears."""

from __future__ import annotations

from enum import StrEnum


class Ink(StrEnum):
    """What is painted how."""

    PAPER = "#ffffff"
    TEXT = "#1f2933"
    MUTED = "#616e7c"
    LINE = "#9aa5b1"
    CARD = "#fbfcfd"
    PILL = "#e4e7eb"
    FRAME = "#f3f6f9"
    FRAME_LINE = "#7b8794"
    WEIGHT = "#fdf3d7"
    WEIGHT_LINE = "#cb9b2c"
    CACHE = "#e6dff5"
    CACHE_LINE = "#7a5fb5"
    STREAM = "#323f4b"
    OWN = "#9aa5b1"
    TOKEN = "#e8590c"


#: Fill and outline of the operators of each role, in the order of a stage's bands.
BANDS = {
    "prologue": ("#eef1f5", "#b6c0cb"),
    "product": ("#d6e9fb", "#4a90d9"),
    "epilogue": ("#dcf3e3", "#57a773"),
    "body": ("#dcf3e3", "#57a773"),
}
