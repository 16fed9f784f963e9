"""PrefixHash: consistent hashing with bounded loads.

A key keeps going to the same endpoint, whose prefix cache then knows it, unless that endpoint carries too much more
than its share; then the next one on the ring takes over. An endpoint that comes or goes moves only its own share of
the keys. The ring is the one of earlier releases of KubeAI, point by point, so that an upgrade finds warm caches.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from xxhash import xxh64_intdigest

from kubeai.api.model import PrefixHash as PrefixHashSettings

from .endpoint import Member
from .least_load import LeastLoad
from .strategy import Choice, Lookup, Pool

_RING_SIZE = 1 << 64
#: At least a fifth of all endpoints is under the default bound, so a longer walk means that few suit the request.
_WALK_LIMIT = 64
#: With fewer suitable endpoints than one in this many, asking each of them is cheaper than meeting one by chance.
_SPARSE = 8


class PrefixHash:
    def __init__(self, settings: PrefixHashSettings) -> None:
        self._load_factor = settings.mean_load_factor / 100
        self._ring = Ring(settings.replication)
        self._without_key = LeastLoad()

    def pick(self, pool: Pool, candidates: Sequence[Member], key: str) -> Choice:
        """See `Strategy.pick`. Without a key there is nothing to keep together: the load decides alone."""
        if not key:
            return self._without_key.pick(pool, candidates, key)
        ring = self._ring
        ring.update(pool.members)
        bound = max(1.0, (pool.in_flight + 1) / len(pool.members) * self._load_factor)
        hashed = xxh64_intdigest(key.encode())
        found = ring.walk(hashed, bound, None if candidates is pool.members else candidates)
        return found or self._search(hashed, bound, candidates)

    def _search(self, hashed: int, bound: float, candidates: Sequence[Member]) -> Choice:
        """What a walk round the whole ring would find, or the least loaded one if it would find nothing."""
        ring = self._ring
        initial = ring.first(hashed)
        under = [member for member in candidates if member.in_flight <= bound]
        if under:
            nearest = min(under, key=lambda member: ring.distance(hashed, member))
            return Choice(nearest, Lookup(initial, ring.steps(hashed, nearest), True))
        lowest = min(member.in_flight for member in candidates)
        least = [member for member in candidates if member.in_flight == lowest]
        nearest = min(least, key=lambda member: ring.distance(hashed, member))
        return Choice(nearest, Lookup(initial, len(ring), False))


class Ring:
    """Members at `replication` pseudo-random points each on a circle of 64-bit numbers."""

    def __init__(self, replication: int) -> None:
        self._replication = max(1, replication)
        self._members: tuple[Member, ...] = ()
        #: All points in order; `_owners` has exactly these as keys.
        self._points: list[int] = []
        self._owners: dict[int, Member] = {}
        #: Each member's own points in order.
        self._shares: dict[Member, list[int]] = {}
        #: Points that several members hash to, with all of these.
        self._rivals: dict[int, list[Member]] = {}

    def __len__(self) -> int:
        return len(self._points)

    def update(self, members: tuple[Member, ...]) -> None:
        """Make the ring that of `members`. Costs next to nothing when they are the ones of the last time."""
        if members is self._members:
            return
        self._members = members
        wanted = set(members)
        self._remove([member for member in self._shares if member not in wanted])
        self._add([member for member in members if member not in self._shares])

    def walk(self, hashed: int, bound: float, allowed: Iterable[Member] | None) -> Choice | None:
        """Follow the ring to the first member that is allowed and under the bound, for a limited way."""
        points, owners = self._points, self._owners
        size = len(points)
        suitable = None if allowed is None else set(allowed)
        if suitable is not None and len(suitable) * _SPARSE < len(self._members):
            return None
        start = bisect_left(points, hashed)
        for step in range(min(_WALK_LIMIT, size)):
            member = owners[points[(start + step) % size]]
            if member.in_flight <= bound and (suitable is None or member in suitable):
                return Choice(member, Lookup(owners[points[start % size]], step + 1, True))
        return None

    def first(self, hashed: int) -> Member:
        """The owner of the first point at or after the hash."""
        return self._owners[self._points[bisect_left(self._points, hashed) % len(self._points)]]

    def distance(self, hashed: int, member: Member) -> int:
        """How far the member's first point at or after the hash is from it."""
        return (self._next_point(hashed, member) - hashed) % _RING_SIZE

    def steps(self, hashed: int, member: Member) -> int:
        """How many points a walk from the hash looks at until it meets the member."""
        target = bisect_left(self._points, self._next_point(hashed, member))
        return (target - bisect_left(self._points, hashed)) % len(self._points) + 1

    def _next_point(self, hashed: int, member: Member) -> int:
        share = self._shares[member]
        return share[bisect_left(share, hashed) % len(share)]

    def _remove(self, gone: list[Member]) -> None:
        for member in gone:
            share = self._shares.pop(member)
            for point in share:
                del self._owners[point]
            self._points = _without(self._points, share)
            for point in [point for point, rivals in self._rivals.items() if member in rivals]:
                self._settle(point, [rival for rival in self._rivals.pop(point) if rival is not member])

    def _add(self, new: list[Member]) -> None:
        for member in new:
            name = member.endpoint.name
            points = {xxh64_intdigest(f"{name}{i}".encode()) for i in range(self._replication)}
            contested = [point for point in points if point in self._owners]
            share = sorted(points.difference(contested))
            self._shares[member] = share
            self._owners.update(dict.fromkeys(share, member))
            self._points += share
            for point in contested:
                self._settle(point, [*self._rivals.pop(point, [self._owners[point]]), member])
        self._points.sort()  # mostly sorted runs: linear

    def _settle(self, point: int, claimants: list[Member]) -> None:
        """Give a point that several names hash to (`pod-1` and 10, `pod-11` and 0) to the first of them by name.

        Then the ring does not depend on who came first. Everybody keeps the point of the highest number at least.
        """
        before = self._owners.get(point)
        owner = min(claimants, key=lambda member: member.endpoint.name)
        if len(claimants) > 1:
            self._rivals[point] = claimants
        if owner is before:
            return
        if before is None:
            insort(self._points, point)
        else:
            self._shares[before].remove(point)
        self._owners[point] = owner
        insort(self._shares[owner], point)


def _without(points: list[int], share: list[int]) -> list[int]:
    """`points` less `share`, both in order. Copies whole stretches: looking at every point takes 50 times longer."""
    kept: list[int] = []
    start = 0
    for point in share:
        end = bisect_left(points, point, start)
        kept += points[start:end]
        start = end + 1
    return kept + points[start:]
