"""Events are kept for an hour, as in Kubernetes: who runs for months must not drown in what happened once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta

from kubeai.api.k8s.resources import EVENTS
from kubeai.embedded.store import Entry, Event, Key, Store

TTL = timedelta(hours=1)


class EventLife:
    """Which Events have outlived their use. Asked at every write, so that no timer is needed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: when to look at which Event again; ordered, as all are kept equally long
        self._due: deque[tuple[datetime, Key]] = deque()
        for entry in sorted(store.entries(EVENTS.group_plural), key=last_seen):
            self._due.append((last_seen(entry) + TTL, entry.key))

    def observe(self, event: Event) -> None:
        if event.type == "ADDED" and event.entry.key.resource == EVENTS.group_plural:
            self._due.append((last_seen(event.entry) + TTL, event.entry.key))

    def expired(self, now: datetime) -> Iterator[Key]:
        """To be removed one by one: who is not (as the disk is full) is named again the next time."""
        while self._due and self._due[0][0] <= now:
            key = self._due[0][1]
            entry = self._store.get(key)
            if entry is None:
                self._due.popleft()
            elif (due := last_seen(entry) + TTL) > now:
                # It was repeated meanwhile. Behind later ones it may wait a little longer than it has to.
                self._due.popleft()
                self._due.append((due, key))
            else:
                yield key


def last_seen(entry: Entry) -> datetime:
    obj = entry.obj
    return datetime.fromisoformat(obj.get("lastTimestamp") or obj["metadata"]["creationTimestamp"])
