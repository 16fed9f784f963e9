"""The endpoints of one Model with their requests in flight: who is chosen, and what ending a request changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from kubeai.api.model import LoadBalancing

from .endpoint import Endpoint, EndpointLoad, Member, Share
from .least_load import LeastLoad
from .prefix_hash import PrefixHash
from .strategy import Choice, Pool, Strategy

#: `spec.loadBalancing.strategy` -> what it means. A new strategy is one file and one line here.
STRATEGIES: Mapping[str, Callable[[LoadBalancing], Strategy]] = {
    "LeastLoad": lambda _: LeastLoad(),
    "PrefixHash": lambda settings: PrefixHash(settings.prefix_hash),
}


class Shares(Protocol):
    """What the processes of one gateway know of each other's requests; see `shares.Shares`."""

    def join(self, name: str) -> Share: ...

    def leave(self, name: str) -> None: ...

    def refresh(self, pool: Pool) -> None: ...


class Group:
    """Owns the members of one Model and their counts."""

    def __init__(self, shares: Shares | None = None) -> None:
        self._shares = shares
        self._settings = LoadBalancing()
        self._strategy = STRATEGIES[self._settings.strategy](self._settings)
        #: How many requests an endpoint takes at a time; None: any number.
        self.limit: int | None = None
        self._pool = Pool()
        #: Everybody who is present or still has requests in flight, by the endpoint's name.
        self._members: dict[str, Member] = {}
        #: The pool's members that have an adapter; made when asked for, forgotten when the members change.
        self._by_adapter: dict[str, tuple[Member, ...]] = {}

    def configure(self, endpoints: Sequence[Endpoint], settings: LoadBalancing) -> None:
        """Make `endpoints` those that take requests from now on, and `settings` how one is chosen."""
        if settings != self._settings:
            self._settings = settings
            self._strategy = STRATEGIES[settings.strategy](settings)
            self.limit = settings.max_requests_per_replica
        present = {endpoint.name: self._join(endpoint) for endpoint in endpoints}
        for name, member in self._members.items():
            member.present = name in present
        gone = [name for name, m in self._members.items() if not m.present and not m.own]
        self._members |= present
        for name in gone:
            self._forget(name)
        members = tuple(present.values())
        if members != self._pool.members:  # a ring need not look for changes where there are none
            self._pool.members = members
        self._pool.in_flight = sum(member.in_flight for member in members)
        self._by_adapter.clear()

    def acquire(self, adapter: str | None, prefix: str, tried: Collection[str]) -> Choice | None:
        """Choose a member and count one request more on it; None while no member suits the request and has room.

        Endpoints named in `tried` are avoided as long as there is another one.
        """
        pool = self._pool
        if self._shares is not None:
            self._shares.refresh(pool)
        candidates = pool.members if adapter is None else self._with_adapter(adapter)
        limit = self.limit
        if limit is not None:
            candidates = tuple([m for m in candidates if m.in_flight < limit])
        if tried:
            candidates = tuple(m for m in candidates if m.endpoint.name not in tried) or candidates
        if not candidates:
            return None
        choice = self._strategy.pick(pool, candidates, (adapter or "") + prefix if prefix else "")
        self._count(choice.member, 1)
        return choice

    def release(self, member: Member) -> None:
        """The request that `acquire` counted has ended."""
        self._count(member, -1)
        if not member.present and not member.own:
            self._forget(member.endpoint.name)

    def has_endpoint(self, adapter: str | None) -> bool:
        return bool(self._pool.members if adapter is None else self._with_adapter(adapter))

    def has_place(self, adapter: str | None) -> bool:
        """Whether a request could go somewhere now."""
        members = self._pool.members if adapter is None else self._with_adapter(adapter)
        limit = self.limit
        return bool(members) if limit is None else any(m.in_flight < limit for m in members)

    @property
    def in_flight(self) -> int:
        """This process's requests in flight, those on endpoints that are leaving included."""
        return sum(member.own for member in self._members.values())

    @property
    def present(self) -> list[EndpointLoad]:
        """The endpoints that take requests."""
        return [EndpointLoad(member.endpoint, member.in_flight) for member in self._pool.members]

    @property
    def loads(self) -> Mapping[str, int]:
        """Endpoint name -> requests in flight, of all that take requests or still have some."""
        return {name: member.in_flight for name, member in self._members.items()}

    def _join(self, endpoint: Endpoint) -> Member:
        member = self._members.get(endpoint.name)
        if member is None:
            return Member(endpoint, share=self._shares.join(endpoint.name) if self._shares else None)
        member.endpoint = endpoint
        return member

    def _count(self, member: Member, amount: int) -> None:
        member.own += amount
        member.in_flight += amount
        if member.present:
            self._pool.in_flight += amount
        if member.share is not None:
            member.share.inc(amount)

    def _forget(self, name: str) -> None:
        del self._members[name]
        if self._shares is not None:
            self._shares.leave(name)

    def _with_adapter(self, adapter: str) -> tuple[Member, ...]:
        members = self._by_adapter.get(adapter)
        if members is None:
            members = tuple(m for m in self._pool.members if adapter in m.endpoint.adapters)
            if members:  # a name that nobody has is not worth remembering
                self._by_adapter[adapter] = members
        return members
