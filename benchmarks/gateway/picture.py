"""Bars as SVG, without a library: each scenario a group, the length is the cost as a multiple of nginx's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from .scenarios import Result

_WIDTH, _LEFT, _BAR, _GAP, _TOP = 860, 300, 14, 16, 40
#: Longer bars are cut, and say their number.
_MOST = 12.0
_COLOURS = {"gateway": "#1d6fdc", "nginx": "#8a9099"}
_OTHER_COLOURS = ("#d9822b", "#8f5cc2", "#3f9c6d", "#c2504e")


def bars(results: Sequence[Result], names: Sequence[str]) -> str:
    group = _BAR * len(names) + _GAP
    height = _TOP + group * len(results)
    parts = [_legend(names)]
    for number, result in enumerate(results):
        parts += _group(result, names, _TOP + number * group)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _legend(names: Sequence[str]) -> str:
    parts = ['<text x="10" y="20" fill="#24292f" font-weight="600">CPU time, nginx = 1</text>']
    for number, name in enumerate(names):
        x = _LEFT + number * 108
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{_colour(names, name)}"/>')
        parts.append(f'<text x="{x + 17}" y="20" fill="#24292f">{escape(name)}</text>')
    return "\n".join(parts)


def _group(result: Result, names: Sequence[str], top: int) -> Iterator[str]:
    middle = top + _BAR * len(names) // 2 + 4
    yield f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end" fill="#24292f">{escape(result.title)}</text>'
    scale = (_WIDTH - _LEFT - 60) / _MOST
    for number, name in enumerate(name for name in names if name in result.cost):
        ratio, y = result.ratio(name), top + number * _BAR
        width = max(1.0, min(ratio, _MOST) * scale)
        yield f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{_colour(names, name)}"/>'
        yield f'<text x="{_LEFT + width + 5:.1f}" y="{y + 10}" font-size="10" fill="#57606a">{ratio:.2f}</text>'


def _colour(names: Sequence[str], name: str) -> str:
    others = [each for each in names if each not in _COLOURS]
    return _COLOURS.get(name) or _OTHER_COLOURS[others.index(name) % len(_OTHER_COLOURS)]
