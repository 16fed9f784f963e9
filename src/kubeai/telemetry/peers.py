"""What the other processes of a gateway have on their pages of the shared memory, number by number."""

from __future__ import annotations

from collections.abc import Sequence

from .pages import Cells, Page
from .registry import Metrics


class Peers:
    """The pages of one kind of the other processes. Empty where there are none."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = pages
        self._stamp: list[tuple[int, int]] = []
        self._places: list[dict[bytes, Cells]] = []
        #: Another object whenever an entry came or went on any page.
        self.edition: object = None

    @classmethod
    def in_flight(cls, metrics: Metrics) -> Peers:
        return cls([p.in_flight for n, p in enumerate(metrics.memory.pages) if n != metrics.process])

    @classmethod
    def series(cls, metrics: Metrics) -> Peers:
        return cls([p.series for n, p in enumerate(metrics.memory.pages) if n != metrics.process])

    def __bool__(self) -> bool:
        return bool(self._pages)

    def look(self) -> object:
        """Notice what came and went. Returns the edition."""
        stamp = [page.stamp for page in self._pages]
        if stamp != self._stamp:
            self._stamp, self._places = stamp, [page.places() for page in self._pages]
            self.edition = object()
        return self.edition

    def places(self, key: bytes) -> list[Cells]:
        return [places[key] for places in self._places if key in places]
