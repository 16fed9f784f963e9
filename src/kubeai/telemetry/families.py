"""Counters, gauges and histograms over a process's page: counting is one addition, and summing is somebody else's.

A metric's key on the page is its name and its label values as JSON.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from .names import MetricSpec
from .pages import Cells, Page

_keys = msgspec.json.Decoder(tuple[str, ...])


class Counter:
    """Only grows."""

    __slots__ = ("_cell", "_view")

    def __init__(self, cells: Cells, spec: MetricSpec) -> None:
        self._view, self._cell = cells

    def inc(self, amount: float = 1) -> None:
        self._view[self._cell] += amount

    @property
    def value(self) -> float:
        """What this process has counted."""
        return self._view[self._cell]


class Gauge:
    """Goes up and down."""

    __slots__ = ("_cell", "_view")

    def __init__(self, cells: Cells, spec: MetricSpec) -> None:
        self._view, self._cell = cells

    def inc(self, amount: float = 1) -> None:
        self._view[self._cell] += amount

    def dec(self, amount: float = 1) -> None:
        self._view[self._cell] -= amount

    def set(self, value: float) -> None:
        self._view[self._cell] = value

    @property
    def value(self) -> float:
        """This process's."""
        return self._view[self._cell]


class Histogram:
    """How often values fell into each bucket. The cells: the values' sum, then one for each bucket."""

    __slots__ = ("_bounds", "_sum", "_view")

    def __init__(self, cells: Cells, spec: MetricSpec) -> None:
        self._view, self._sum = cells
        self._bounds = spec.buckets

    def observe(self, value: float) -> None:
        view, start = self._view, self._sum
        view[start] += value
        view[start + 1 + bisect_left(self._bounds, value)] += 1

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observe how long the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - began)


M = TypeVar("M", Counter, Gauge, Histogram)


class Family(Generic[M]):
    """One metric with all its label values in this process."""

    def __init__(self, kind: type[M], spec: MetricSpec, page: Page) -> None:
        self._kind: type[M] = kind
        self._spec = spec
        self._page = page
        self._children: dict[tuple[str, ...], M] = {}

    def labels(self, *values: str, **named: str) -> M:
        """The one with these label values, in the order of the metric's labels or by their names."""
        found = self._children.get(values)
        if found is None or named:
            values = (*values, *(named[label] for label in self._spec.labels[len(values) :]))
            found = self._children.get(values)
        if found is None:
            cells = self._page.add(series_key(self._spec, values), cells_of(self._spec))
            found = self._children[values] = self._kind(cells, self._spec)
        return found

    def remove(self, *values: str) -> None:
        """Forget this one."""
        self._children.pop(values, None)
        self._page.remove(series_key(self._spec, values))


def cells_of(spec: MetricSpec) -> int:
    return 2 + len(spec.buckets) if spec.kind == "histogram" else 1


def series_key(spec: MetricSpec, values: tuple[str, ...]) -> bytes:
    return msgspec.json.encode((spec.name, *values))


def key_start(spec: MetricSpec, *values: str) -> bytes:
    """What the metric's keys begin with whose first labels have these values: JSON escapes that anywhere else."""
    return msgspec.json.encode((spec.name, *values))[:-1]


def read_key(key: bytes) -> tuple[str, tuple[str, ...]]:
    """The metric's name and the label values."""
    name, *values = _keys.decode(key)
    return name, tuple(values)
