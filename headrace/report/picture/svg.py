"""SVG elements as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"

#: Mean advance of a character, as a part of the font size: a wide guess, so that text fits.
_ADVANCE, _BOLD_ADVANCE = 0.56, 0.61

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; `x`, `y` is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def centre(self) -> float:
        return self.x + self.width / 2

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> Box:
        return Box(self.x + dx, self.y + dy, self.width, self.height)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is."""
    return len(text) * size * (_BOLD_ADVANCE if bold else _ADVANCE)


@dataclass(slots=True)
class Canvas:
    """Collects elements; what is added later lies on top."""

    elements: list[str] = field(default_factory=list[str])

    def add(self, tag: str, content: str = "", **attributes: object) -> None:
        names = ((name.replace("_", "-"), value) for name, value in attributes.items())
        text = "".join(f" {name}={quoteattr(_plain(value))}" for name, value in names)
        self.elements.append(f"<{tag}{text}>{content}</{tag}>" if content else f"<{tag}{text}/>")

    def rectangle(
        self, box: Box, fill: str, stroke: str = "none", *, radius: float = 6, dash: str = "none"
    ) -> None:
        self.add(
            "rect",
            x=box.x,
            y=box.y,
            width=box.width,
            height=box.height,
            rx=radius,
            fill=fill,
            stroke=stroke,
            stroke_width=1.2,
            stroke_dasharray=dash,
        )

    def text(
        self,
        at: Point,
        content: str,
        size: float,
        fill: str,
        *,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        self.add(
            "text",
            escape(content),
            x=at[0],
            y=at[1],
            font_size=size,
            fill=fill,
            text_anchor=anchor,
            font_weight="600" if bold else "400",
        )

    def arrow(
        self, points: Sequence[Point], stroke: str, width: float = 1.8, *, dash: str = "none"
    ) -> None:
        """A line through the points with rounded corners and a head at its end."""
        self.add(
            "path",
            d=_rounded(points),
            fill="none",
            stroke=stroke,
            stroke_width=width,
            stroke_dasharray=dash,
            stroke_linejoin="round",
        )
        (x0, y0), (x1, y1) = points[-2:]
        dx, dy = _sign(x1 - x0), _sign(y1 - y0)
        head = [(x1, y1), (x1 - 9 * dx - 4.5 * dy, y1 - 9 * dy - 4.5 * dx)]
        head.append((x1 - 9 * dx + 4.5 * dy, y1 - 9 * dy + 4.5 * dx))
        corners = " ".join(f"{_plain(x)},{_plain(y)}" for x, y in head)
        self.add("polygon", points=corners, fill=stroke)

    def document(self, width: float, height: float, title: str) -> str:
        """The whole file."""
        size = f'width="{_plain(width)}" height="{_plain(height)}"'
        box = f'viewBox="0 0 {_plain(width)} {_plain(height)}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box}'
        head += f" font-family={quoteattr(FONT)}>"
        return "\n".join([head, f"<title>{escape(title)}</title>", *self.elements, "</svg>", ""])


def _plain(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _rounded(points: Sequence[Point], radius: float = 9) -> str:
    """A path whose inner corners are quarter circles."""
    parts = [f"M{_pair(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        near, far = _towards(corner, before, radius), _towards(corner, after, radius)
        parts.append(f"L{_pair(near)} Q{_pair(corner)} {_pair(far)}")
    return " ".join([*parts, f"L{_pair(points[-1])}"])


def _pair(point: Point) -> str:
    return f"{_plain(point[0])} {_plain(point[1])}"


def _towards(start: Point, end: Point, distance: float) -> Point:
    dx, dy = end[0] - start[0], end[1] - start[1]
    step = min(distance, (abs(dx) + abs(dy)) / 2)
    return start[0] + step * _sign(dx), start[1] + step * _sign(dy)
