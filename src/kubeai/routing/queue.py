"""The order in which requests for one Model get the places that become free.

Higher priorities come first. Among equals it is fair by who asks and not by who asks most: with start-time fair
queueing a caller with a hundred requests and one with a single request take turns. Each caller's oldest request stands
in front; it carries as a tag how much its caller has had (1 for each place), counted from where the others were when it
began to wait. The lowest tag is next. Requests with a need of their own (an adapter) are passed over while it cannot be
met, and keep their turn.

The queue is bounded by its user. A full one is fair, too: who has the most in it makes room for who has less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from heapq import heappop, heappush, heapreplace
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)

#: What a request must have of an endpoint: an adapter, or nothing in particular.
Need = str | None


class Turn(NamedTuple):
    """What decides when a request is served."""

    #: Who asks; requests of the same caller share his turns. "" is one caller like all others.
    identity: str = ""
    priority: int = 0


class _Flow(Generic[T]):
    """The requests of one caller with the same need and priority, oldest first."""

    __slots__ = ("items", "key", "tag")

    def __init__(self, key: tuple[Need, int, str]) -> None:
        self.key = key
        #: Item -> its number in the order of arrival.
        self.items: dict[T, int] = {}
        #: Of the oldest item.
        self.tag = 0.0


_Entry = tuple[int, float, int, _Flow[T]]


class FairQueue(Generic[T]):
    """Who waits for one Model."""

    def __init__(self) -> None:
        #: Items -> their flows, in the order of arrival.
        self._flow_of: dict[T, _Flow[T]] = {}
        self._flows: dict[tuple[Need, int, str], _Flow[T]] = {}
        #: Need -> each flow's oldest item. Entries of items that left are still there, until they come to the top.
        self._heaps: dict[Need, list[_Entry[T]]] = {}
        #: Items of each caller.
        self._counts: Counter[str] = Counter()
        #: The tag of the item served last: where everybody is.
        self._now = 0.0
        #: Caller -> the tag of what he asks for next.
        self._next: dict[str, float] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._flow_of)

    def __iter__(self) -> Iterator[T]:
        return iter(self._flow_of)

    def __contains__(self, item: T) -> bool:
        return item in self._flow_of

    def push(self, item: T, turn: Turn, need: Need) -> None:
        key = (need, turn.priority, turn.identity)
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow(key)
        self._arrivals += 1
        flow.items[item] = self._arrivals
        self._flow_of[item] = flow
        self._counts[turn.identity] += 1
        if len(flow.items) == 1:
            self._stand_in_front(flow)

    def first(self, without: Collection[Need] = ()) -> T | None:
        """Whose turn it is, among those whose needs are not in `without`."""
        best: _Entry[T] | None = None
        for need in [need for need in self._heaps if need not in without]:
            entry = self._top(need)
            if entry is not None and (best is None or entry[:3] < best[:3]):
                best = entry
        return None if best is None else next(iter(best[3].items))

    def serve(self, item: T) -> None:
        """`item`, the first of its flow, gets its place: it leaves, and its caller has had a turn."""
        flow = self._flow_of[item]
        self._now = max(self._now, flow.tag)
        self._next[flow.key[2]] = flow.tag + 1
        self.discard(item)

    def discard(self, item: T) -> None:
        """It waits no more; that it has waited costs its caller nothing."""
        flow = self._flow_of.pop(item, None)
        if flow is None:
            return
        identity = flow.key[2]
        in_front = next(iter(flow.items)) == item
        del flow.items[item]
        self._counts[identity] -= 1
        if not self._counts[identity]:
            del self._counts[identity]
            self._forget(identity)
        if not flow.items:
            del self._flows[flow.key]
        elif in_front:
            self._stand_in_front(flow)

    def rival(self, turn: Turn) -> T | None:
        """Who makes room for a newcomer when there is none left; None: nobody, the newcomer has no better claim.

        It is the latest of the lowest priority's busiest caller.
        """
        flows = self._flows.values()
        if not flows:
            return None
        worst = min(flows, key=lambda flow: (flow.key[1], -self._counts[flow.key[2]], -max(flow.items.values())))
        _, priority, identity = worst.key
        fairer = priority == turn.priority and self._counts[identity] > self._counts[turn.identity] + 1
        return next(reversed(worst.items)) if priority < turn.priority or fairer else None

    def _stand_in_front(self, flow: _Flow[T]) -> None:
        need, priority, identity = flow.key
        flow.tag = max(self._now, self._next.get(identity, 0.0))
        number = next(iter(flow.items.values()))
        heappush(self._heaps.setdefault(need, []), (-priority, flow.tag, number, flow))

    def _top(self, need: Need) -> _Entry[T] | None:
        heap = self._heaps[need]
        while heap:
            priority, tag, number, flow = heap[0]
            if next(iter(flow.items.values()), 0) != number or flow.tag != tag:
                heappop(heap)  # it left, or stands somewhere else by now
            elif (later := self._next.get(flow.key[2], 0.0)) > tag:  # its caller was served elsewhere in the meantime
                flow.tag = later
                heapreplace(heap, (priority, later, number, flow))
            else:
                return heap[0]
        del self._heaps[need]
        return None

    def _forget(self, identity: str) -> None:
        """A caller who is no further than everybody else need not be remembered."""
        if not self._counts:
            self._next.clear()
            self._heaps.clear()
            self._now = 0.0
        elif self._next.get(identity, 0.0) <= self._now:
            self._next.pop(identity, None)
        elif len(self._next) > 2 * len(self._counts) + 100:
            self._next = {who: tag for who, tag in self._next.items() if tag > self._now or who in self._counts}
