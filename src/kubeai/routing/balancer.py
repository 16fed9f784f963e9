"""All Models' endpoints and who waits for them: the one owner of in-flight counts in this process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kubeai.api.model import LoadBalancing
from kubeai.telemetry.peers import Peers
from kubeai.telemetry.registry import Metrics

from .endpoint import Endpoint, EndpointLoad
from .lookup_metrics import LookupMetrics
from .queue import Turn
from .shares import Shares
from .slot import ModelRemoved, NoEndpoint, Patience, Room, Slot, TurnedAway

__all__ = ["Balancer", "ModelRemoved", "NoEndpoint", "Patience", "Slot", "Turn", "TurnedAway"]


class Balancer:
    def __init__(self, metrics: Metrics) -> None:
        #: A room for each Model that exists, that is waited for, or that has requests in flight.
        self._rooms: dict[str, Room] = {}
        self._metrics = metrics
        self._others = Peers.in_flight(metrics)
        self._lookups = LookupMetrics(metrics)

    def set_group(self, model: str, endpoints: Sequence[Endpoint], load_balancing: LoadBalancing) -> None:
        """Make these the Model's endpoints, for the next request and for all that wait."""
        room = self._room(model)
        room.kept = True
        self._configure(room, endpoints, load_balancing)
        room.admit()

    def remove_group(self, model: str) -> None:
        """The Model is gone: who waits fails at once with `ModelRemoved`, running requests end in peace."""
        room = self._rooms.get(model)
        if room is None:
            return
        room.kept = False
        self._configure(room, (), LoadBalancing())
        room.dismiss()
        room.close_if_unused()

    def slot(
        self,
        model: str,
        *,
        adapter: str | None = None,
        prefix: str = "",
        tried: Collection[str] = (),
        timeout_s: float | None = None,
        patience: Patience | None = None,
    ) -> Slot:
        """A place on one endpoint, held for the length of an `async with`, which gives the endpoint.

        Entering waits up to `timeout_s` (None: for ever), or as `patience` says, and then raises `NoEndpoint`.
        Endpoints whose names are in `tried` are avoided while there is another one.
        """
        return Slot(self._room, model, adapter, prefix, tried, patience or Patience(timeout_s))

    def in_flight(self, model: str) -> int:
        """Requests that hold a slot, also those on endpoints that are leaving."""
        room = self._rooms.get(model)
        return room.group.in_flight if room else 0

    def waiting(self, model: str) -> int:
        """Requests that wait for an endpoint."""
        room = self._rooms.get(model)
        return len(room.waiting) if room else 0

    def endpoints(self, model: str) -> Sequence[EndpointLoad]:
        """The endpoints that take requests, with their loads."""
        room = self._rooms.get(model)
        return room.group.present if room else ()

    def loads(self, models: Collection[str]) -> Mapping[str, int]:
        """Endpoint name -> requests in flight, of all of these Models that take requests or still have some."""
        loads: dict[str, int] = {}
        for model in models:
            if room := self._rooms.get(model):
                loads.update(room.group.loads)
        return loads

    def has_place(self, model: str, adapter: str | None = None) -> bool:
        """Whether a request could have a slot now."""
        room = self._rooms.get(model)
        return room is not None and room.group.has_place(adapter)

    def has_endpoint(self, model: str, adapter: str | None = None) -> bool:
        """Whether there is an endpoint for the request, be it as busy as it may be."""
        room = self._rooms.get(model)
        return room is not None and room.group.has_endpoint(adapter)

    def _room(self, model: str) -> Room:
        room = self._rooms.get(model)
        if room is None:
            shares = Shares(self._metrics, self._others, model)
            waiting = self._metrics.requests_waiting.labels(model)
            room = self._rooms[model] = Room(model, shares, waiting, self._lookups, self._drop)
        return room

    def _drop(self, room: Room) -> None:
        if self._rooms.get(room.model) is room:
            del self._rooms[room.model]
            self._metrics.requests_waiting.remove(room.model)
            self._metrics.endpoints.remove(room.model)

    def _configure(self, room: Room, endpoints: Sequence[Endpoint], load_balancing: LoadBalancing) -> None:
        before = {load.endpoint.name for load in room.group.present}
        room.group.configure(endpoints, load_balancing)
        self._lookups.forget(before - {endpoint.name for endpoint in endpoints})
        self._metrics.endpoints.labels(room.model).set(len(endpoints))
