"""Pictures for the reports: a line chart as one SVG file, so that the pages of docs/ need no program to show it.

A plotting library would be the largest dependency of the whole project, for two pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, log10

WIDTH, HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 50
_COLORS = ("#0b6bcb", "#c8501d", "#2a8a43", "#7a4fbf", "#8a6d00", "#555555")

#: (x, y), in the order of x.
Points = Sequence[tuple[float, float]]


def line_chart(title: str, x_label: str, y_label: str, lines: Mapping[str, Points]) -> str:
    """The SVG text of a chart whose y axis begins at 0; a line for each name."""
    xs = [x for points in lines.values() for x, _ in points]
    top = _round_up(max(y for points in lines.values() for _, y in points))
    scale = _Scale(min(xs), max(xs), top)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="15">{escape(title)}</text>',
        f'<text x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
        *_grid(scale, sorted(set(xs))),
    ]
    for index, (name, points) in enumerate(lines.items()):
        parts += _line(scale, name, points, index)
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """From values to places on the picture."""

    def __init__(self, first: float, last: float, top: float) -> None:
        self._first, self._span, self.top = first, (last - first) or 1.0, top

    def x(self, value: float) -> float:
        return _LEFT + (value - self._first) / self._span * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - value / self.top * (HEIGHT - _TOP - _BOTTOM)


def _grid(scale: _Scale, xs: Sequence[float]) -> Iterator[str]:
    for step in range(5):
        value = scale.top * step / 4
        y = scale.y(value)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for value in xs:
        yield f'<text x="{scale.x(value):.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:g}</text>'


def _line(scale: _Scale, name: str, points: Points, index: int) -> Iterator[str]:
    color = _COLORS[index % len(_COLORS)]
    path = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3" fill="{color}"/>'
    place = _LEFT + 152 * index
    yield f'<rect x="{place}" y="30" width="12" height="4" fill="{color}"/>'
    yield f'<text x="{place + 18}" y="37">{escape(name)}</text>'


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten: a top whose quarters are easy to read."""
    power = 10.0 ** (ceil(log10(value)) - 1) if value > 0 else 1.0
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= value)
