"""The objects of the embedded cluster, in memory.

One counter numbers every change of every object, as in a real cluster, so that a version says exactly what its reader
has seen. A change is persisted *before* it becomes visible: whoever has read a state, or was told of it by a watch,
can rely on finding it after a crash. A bounded ring of the last changes lets a watch go on where it stopped; whoever
is further behind has to list again.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import msgspec

JSONObject = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_encode = msgspec.json.Encoder().encode


class Key(NamedTuple):
    """Where an object is: `resource` is `pods` or `models.kubeai.org`, `namespace` is "" for cluster-wide kinds."""

    resource: str
    namespace: str
    name: str


class Entry:
    """One version of one object. Its content is never changed: a new version is a new entry."""

    __slots__ = ("_data", "key", "obj", "version")

    def __init__(self, key: Key, version: int, obj: JSONObject, data: bytes | None = None) -> None:
        self.key = key
        self.version = version
        self.obj = obj
        self._data = data

    @property
    def data(self) -> bytes:
        """The object as JSON, encoded once for the journal and all who read or watch it."""
        if self._data is None:
            self._data = _encode(self.obj)
        return self._data

    @property
    def metadata(self) -> JSONObject:
        metadata: JSONObject = self.obj["metadata"]
        return metadata

    @property
    def uid(self) -> str:
        return str(self.metadata.get("uid", ""))

    @property
    def terminating(self) -> bool:
        return "deletionTimestamp" in self.metadata

    @property
    def finalizers(self) -> list[str]:
        return self.metadata.get("finalizers") or []

    @property
    def owners(self) -> list[JSONObject]:
        return self.metadata.get("ownerReferences") or []


class Event(NamedTuple):
    """A change: `entry` is the new state (for DELETED the last one, numbered as the deletion), `before` the old one."""

    type: EventType
    entry: Entry
    before: Entry | None

    @property
    def version(self) -> int:
        return self.entry.version


@dataclass(frozen=True, slots=True)
class Change:
    """What the journal has to keep: the entry's new content, or (`deleted`) that it is gone."""

    entry: Entry
    deleted: bool = False


class TooOldError(Exception):
    """Somebody asks for changes that the history no longer holds."""

    def __init__(self, version: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {version} ({oldest})")


Listener = Callable[[Event], None]
Persist = Callable[[Change], None]


class Store:
    """All objects, by resource, namespace and name."""

    def __init__(self, persist: Persist, *, history: int = 10_000) -> None:
        self._persist = persist
        self.version = 1
        self._objects: defaultdict[str, dict[tuple[str, str], Entry]] = defaultdict(dict)
        self._by_uid: dict[str, Entry] = {}
        #: owner's uid -> keys of the objects that name it; exactly those of the current entries
        self._dependents: defaultdict[str, set[Key]] = defaultdict(set)
        self._history: deque[Event] = deque(maxlen=history)
        #: the newest version that `_history` cannot tell the way from
        self._forgotten = 1
        self._listeners: list[Listener] = []

    def restore(self, version: int, entries: Iterable[Entry]) -> None:
        """Take over what the journal kept. Watches cannot continue from before: the history starts anew."""
        for entry in entries:
            self._link(entry)
            version = max(version, entry.version)
        self.version = self._forgotten = max(version, 1)

    # reading

    def get(self, key: Key) -> Entry | None:
        return self._objects[key.resource].get((key.namespace, key.name))

    def by_uid(self, uid: str) -> Entry | None:
        return self._by_uid.get(uid)

    def entries(self, resource: str, namespace: str = "") -> list[Entry]:
        """All of a resource, or those of one namespace, ordered by namespace and name."""
        objects = self._objects[resource]
        return [objects[k] for k in sorted(objects) if not namespace or k[0] == namespace]

    def in_namespace(self, namespace: str) -> Iterator[Entry]:
        """Everything that lives in the namespace, of every resource."""
        for objects in self._objects.values():
            yield from (entry for (home, _), entry in objects.items() if home == namespace)

    def dependents(self, uid: str) -> list[Entry]:
        """The objects that name this uid as an owner."""
        entries = (self.get(key) for key in sorted(self._dependents.get(uid, ())))
        return [entry for entry in entries if entry is not None]

    def __iter__(self) -> Iterator[Entry]:
        for objects in list(self._objects.values()):
            yield from list(objects.values())

    # writing

    def put(self, key: Key, obj: JSONObject) -> Entry:
        """Store a new object or a new version. The store takes `obj` over and sets its resourceVersion."""
        before = self.get(key)
        entry = self._numbered(key, obj)
        self._persist(Change(entry))
        if before is not None:
            self._unlink(before)
        self._link(entry)
        self._announce(Event("ADDED" if before is None else "MODIFIED", entry, before))
        return entry

    def remove(self, key: Key) -> Entry:
        """Drop an object. The result is its last state, numbered as the deletion."""
        before = self._objects[key.resource][key.namespace, key.name]
        entry = self._numbered(key, before.obj)
        self._persist(Change(entry, deleted=True))
        self._unlink(before)
        self._announce(Event("DELETED", entry, before))
        return entry

    def _numbered(self, key: Key, obj: JSONObject) -> Entry:
        version = self.version + 1
        metadata = obj["metadata"] | {"resourceVersion": str(version)}
        return Entry(key, version, obj | {"metadata": metadata})

    def _link(self, entry: Entry) -> None:
        self._objects[entry.key.resource][entry.key.namespace, entry.key.name] = entry
        self._by_uid[entry.uid] = entry
        for owner in entry.owners:
            self._dependents[owner.get("uid", "")].add(entry.key)

    def _unlink(self, entry: Entry) -> None:
        del self._objects[entry.key.resource][entry.key.namespace, entry.key.name]
        self._by_uid.pop(entry.uid, None)
        for owner in entry.owners:
            uid = owner.get("uid", "")
            self._dependents[uid].discard(entry.key)
            if not self._dependents[uid]:
                del self._dependents[uid]

    # watching

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change from now on. It must not write. The result ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def oldest(self) -> int:
        """The oldest version that a watch can go on from."""
        return self._forgotten

    def since(self, version: int) -> list[Event]:
        """The changes after `version`, oldest first."""
        if not self._forgotten <= version <= self.version:
            raise TooOldError(version, self._forgotten)
        # Versions have no holes, so the number of missed changes is where they begin.
        missed = self.version - version
        return list(islice(self._history, max(len(self._history) - missed, 0), None))

    def _announce(self, event: Event) -> None:
        self.version = event.version
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(event)
        for listener in tuple(self._listeners):
            listener(event)
