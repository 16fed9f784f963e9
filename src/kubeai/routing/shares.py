"""How many requests the other processes of this gateway have at the endpoints of one Model.

Each process counts its own on its page of the shared memory. A decision looks at all pages, so that what one process
has just sent somewhere is seen by the next one to choose.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from kubeai.telemetry import names
from kubeai.telemetry.families import series_key
from kubeai.telemetry.pages import Cells
from kubeai.telemetry.peers import Peers
from kubeai.telemetry.registry import Metrics

from .endpoint import Member, Share
from .strategy import Pool

#: So many numbers are read for each decision; more of them are read once in a millisecond.
_CHEAP = 16
_PAUSE_S = 0.001


class Shares:
    """One Model's."""

    def __init__(self, metrics: Metrics, others: Peers, model: str) -> None:
        self._gauge = metrics.endpoint_requests_in_flight
        self._others = others
        self._model = model
        self._edition: object = None
        self._members: tuple[Member, ...] = ()
        #: Where the others count each of the members.
        self._places: Sequence[list[Cells]] = ()
        self._read_at = 0.0

    def join(self, name: str) -> Share:
        """Where this process counts its requests at the endpoint."""
        return self._gauge.labels(self._model, name)

    def leave(self, name: str) -> None:
        self._gauge.remove(self._model, name)

    def refresh(self, pool: Pool) -> None:
        """Make the members' and the pool's counts those of all processes."""
        if self._others and self._is_due(pool.members):
            pool.in_flight = 0
            for member, places in zip(pool.members, self._places, strict=True):
                elsewhere = 0.0
                for view, cell in places:
                    elsewhere += view[cell]
                member.in_flight = member.own + int(elsewhere)
                pool.in_flight += member.in_flight

    def _is_due(self, members: tuple[Member, ...]) -> bool:
        known = members is self._members
        if known and len(members) > _CHEAP:
            now = time.monotonic()
            if now - self._read_at < _PAUSE_S:
                return False
            self._read_at = now
        edition = self._others.look()
        if not known or edition is not self._edition:
            self._members, self._edition = members, edition
            self._places = [self._others.places(self._key(member)) for member in members]
        return True

    def _key(self, member: Member) -> bytes:
        return series_key(names.ENDPOINT_REQUESTS_IN_FLIGHT, (self._model, member.endpoint.name))
