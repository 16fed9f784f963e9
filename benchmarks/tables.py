"""Figures as a benchmark prints them, and as a page shows them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 56


def p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table. Several values are shown by their median and 99th percentile."""

    name: str
    values: Sequence[float]
    unit: str
    #: What is aimed at, in the same unit; of several values for the 99th percentile.
    bar: float | None = None

    def line(self) -> str:
        median, high = statistics.median(self.values), p99(self.values)
        spread = f"{high:9.1f}" if len(self.values) > 1 else f"{'':9}"
        bar = f"  (bar {self.bar:g})" if self.bar is not None else ""
        return f"{self.name:{WIDTH}} {median:9.2f} {spread} {self.unit}{bar}"

    def cells(self) -> str:
        median, high = statistics.median(self.values), p99(self.values)
        spread = f"{high:.1f}" if len(self.values) > 1 else ""
        return f"| {self.name}, {self.unit} | {median:.1f} | {spread} | {'' if self.bar is None else f'{self.bar:g}'} |"


def single(name: str, value: float, unit: str, bar: float | None = None) -> Figure:
    return Figure(name, (value,), unit, bar)


def show(figures: Sequence[Figure]) -> None:
    print(f"{'':{WIDTH}} {'median':>9} {'p99':>9}")
    for figure in figures:
        print(figure.line(), flush=True)


def markdown(figures: Sequence[Figure]) -> Iterator[str]:
    yield "| | median | p99 | bar |"
    yield "| --- | ---: | ---: | ---: |"
    for figure in figures:
        yield figure.cells()
