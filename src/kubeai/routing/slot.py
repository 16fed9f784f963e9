"""A request's place on an endpoint, and the room where requests for one Model wait for it.

Every change of a Model's endpoints, and every place that becomes free, looks at those who wait for that Model in the
order of their turns (see `queue`), so that no wake-up can be missed: what a waiter needs (any endpoint, one with an
adapter) is checked against the new state itself, never against a signal about it. The slot is taken on the waiter's
behalf at that moment, before the waiter runs; that keeps the counts true for those who come after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from types import TracebackType
from typing import NamedTuple

from kubeai.telemetry.families import Gauge

from .endpoint import Endpoint, Member
from .group import Group, Shares
from .lookup_metrics import LookupMetrics
from .queue import FairQueue, Need, Turn


class NoEndpoint(Exception):  # noqa: N818 - the name says what happened; it is not always an error
    """No endpoint could take the request in time. A later try may find one."""

    def __init__(self, model: str, adapter: str | None, message: str) -> None:
        super().__init__(message)
        self.model = model
        self.adapter = adapter


class ModelRemoved(NoEndpoint):
    """The Model was deleted while the request waited. A retry does not help."""


class TurnedAway(NoEndpoint):
    """As many wait as may, and others have a better claim to wait."""


class Patience(NamedTuple):
    """How a request waits."""

    #: None: for ever.
    timeout_s: float | None
    turn: Turn = Turn()
    #: How many may wait for the Model, this one included; None: any number.
    max_waiting: int | None = None
    #: Called now and then while it waits; what it raises ends the wait.
    look: Callable[[], None] | None = None
    look_interval_s: float = 1.0


class Room:
    """One Model's group and the slots that wait for it."""

    __slots__ = ("_lookups", "_on_unused", "_waiting_gauge", "group", "kept", "model", "waiting")

    def __init__(
        self, model: str, shares: Shares, waiting: Gauge, lookups: LookupMetrics, on_unused: Callable[[Room], None]
    ) -> None:
        self.model = model
        self.group = Group(shares)
        #: True while the Model exists; a room without a Model is there for its last requests only.
        self.kept = False
        self.waiting: FairQueue[Slot] = FairQueue()
        self._waiting_gauge = waiting
        self._lookups = lookups
        self._on_unused = on_unused

    def acquire(self, adapter: str | None, prefix: str, tried: Collection[str]) -> Member | None:
        choice = self.group.acquire(adapter, prefix, tried)
        if choice is None:
            return None
        if choice.lookup is not None:
            self._lookups.record(choice, choice.lookup)
        return choice.member

    def release(self, member: Member) -> None:
        self.group.release(member)
        if self.group.limit is not None and self.waiting:
            self.admit()
        self.close_if_unused()

    def join(self, slot: Slot, patience: Patience) -> None:
        """Wait with the others. Raises `TurnedAway` if too many do."""
        if patience.max_waiting is not None and len(self.waiting) >= patience.max_waiting:
            rival = self.waiting.rival(patience.turn)
            if rival is None:
                raise TurnedAway(self.model, slot.adapter, f"{len(self.waiting)} requests wait already")
            self.waiting.discard(rival)
            rival.turn_away()
        self.waiting.push(slot, patience.turn, slot.adapter)
        self._waiting_gauge.set(len(self.waiting))

    def leave(self, slot: Slot) -> None:
        if slot in self.waiting:
            self.waiting.discard(slot)
            self._waiting_gauge.set(len(self.waiting))
        self.close_if_unused()

    def admit(self) -> None:
        """Give a place to all who can have one now."""
        missed: set[Need] = set()
        while None not in missed and (slot := self.waiting.first(missed)) is not None:
            if slot.over:
                self.waiting.discard(slot)
            elif slot.admit(self):
                self.waiting.serve(slot)
            else:
                missed.add(slot.adapter)  # without any place at all nobody can have one with an adapter
        self._waiting_gauge.set(len(self.waiting))

    def dismiss(self) -> None:
        """The Model is gone, and with it what they wait for."""
        for slot in list(self.waiting):
            slot.dismiss()

    def close_if_unused(self) -> None:
        if not self.kept and not self.waiting and not self.group.in_flight:
            self._on_unused(self)


class Slot:
    """One request's place: entered once, left once. Leaving is the only thing that gives it back."""

    __slots__ = (
        "_bell",
        "_enter",
        "_failure",
        "_looking",
        "_member",
        "_model",
        "_patience",
        "_prefix",
        "_room",
        "_tried",
        "adapter",
    )

    def __init__(
        self,
        enter: Callable[[str], Room],
        model: str,
        adapter: str | None,
        prefix: str,
        tried: Collection[str],
        patience: Patience,
    ) -> None:
        self._enter = enter
        self._model = model
        self.adapter = adapter
        self._prefix = prefix
        self._tried = tried
        self._patience = patience
        self._room: Room | None = None
        #: Set exactly while the slot counts as a request in flight.
        self._member: Member | None = None
        #: Rung when the wait is over, however it ends.
        self._bell: asyncio.Future[None] | None = None
        self._looking: asyncio.TimerHandle | None = None
        #: Why the wait ended without a place, if not for its time.
        self._failure: Exception | None = None

    async def __aenter__(self) -> Endpoint:
        if self._room is not None:
            raise RuntimeError("a slot is entered only once")
        self._room = room = self._enter(self._model)
        if room.waiting:
            room.admit()  # a place that another process has given back is for who came before
        self._member = member = room.acquire(self.adapter, self._prefix, self._tried)
        if member is None:
            member = await self._wait(room)
        return member.endpoint

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    @property
    def over(self) -> bool:
        """Nobody waits any more."""
        return self._bell is None or self._bell.done()

    def admit(self, room: Room) -> bool:
        """Take a place for the one who waits, if there is one."""
        self._member = room.acquire(self.adapter, self._prefix, self._tried)
        if self._member is not None:
            self._ring()
        return self._member is not None

    def dismiss(self) -> None:
        text = f"{self._model} was deleted while the request waited"
        self._end(ModelRemoved(self._model, self.adapter, text))

    def turn_away(self) -> None:
        text = "the queue is full, and its places are for others"
        self._end(TurnedAway(self._model, self.adapter, text))

    async def _wait(self, room: Room) -> Member:
        loop, patience = asyncio.get_running_loop(), self._patience
        self._bell = loop.create_future()
        timer: asyncio.TimerHandle | None = None
        try:
            room.join(self, patience)
            if patience.timeout_s is not None:
                timer = loop.call_later(patience.timeout_s, self._ring)
            self._look_later(room)
            await self._bell
        except asyncio.CancelledError:
            self._leave()  # the place may have come in the same moment
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if self._looking is not None:
                self._looking.cancel()
            room.leave(self)
        if self._member is None:
            raise self._failure or self._too_late()
        return self._member

    def _look_later(self, room: Room) -> None:
        if self._patience.look is not None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(self._patience.look_interval_s, self._look, room, self._patience.look)

    def _look(self, room: Room, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception as error:
            self._end(error)
        else:
            room.admit()  # another process may have given a place back
            self._look_later(room)

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def _leave(self) -> None:
        member, self._member = self._member, None
        if member is not None and self._room is not None:
            self._room.release(member)

    def _end(self, failure: Exception) -> None:
        if not self.over:
            self._failure = failure
            self._ring()

    def _too_late(self) -> NoEndpoint:
        served = self._model if self.adapter is None else f"{self._model} with adapter {self.adapter}"
        text = f"no endpoint of {served} became ready within {self._patience.timeout_s or 0:g} seconds"
        return NoEndpoint(self._model, self.adapter, text)
