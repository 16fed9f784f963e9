"""Objects in memory, found by name or by an index, and what changed with each write.

No I/O and no clock. Resource versions are opaque: two are equal or different, never older or newer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
#: (namespace, name)
Key = tuple[str, str]
Indexer = Callable[[T], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which object it is, and in which state."""

    namespace: str
    name: str
    uid: str
    resource_version: str

    @property
    def key(self) -> Key:
        return self.namespace, self.name


class Change(NamedTuple, Generic[T]):
    """(None, new): it came; (old, new): it changed; (old, None): it went."""

    old: T | None
    new: T | None


class _Entry(NamedTuple, Generic[T]):
    identity: Identity
    obj: T
    #: (index, index key) pairs, remembered so that what was put in is what is taken out.
    index_keys: frozenset[tuple[str, str]]


class Cache(Generic[T]):
    """The objects of one resource."""

    def __init__(self, indexers: Mapping[str, Indexer[T]] | None = None) -> None:
        self._indexers = dict(indexers or {})
        self._entries: dict[Key, _Entry[T]] = {}
        #: Index -> index key -> keys of objects, as a dict for its order. No empty inner dict stays.
        self._indexes: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in self._indexers}

    def get(self, key: Key) -> T | None:
        entry = self._entries.get(key)
        return entry and entry.obj

    def all(self) -> list[T]:
        return [entry.obj for entry in self._entries.values()]

    def keys(self) -> set[Key]:
        return set(self._entries)

    def by_index(self, index: str, index_key: str) -> list[T]:
        return [self._entries[key].obj for key in self._indexes[index].get(index_key, ())]

    def holds(self, identity: Identity) -> bool:
        """The very object in the very state."""
        entry = self._entries.get(identity.key)
        return entry is not None and entry.identity == identity

    def put(self, identity: Identity, obj: T) -> list[Change[T]]:
        """Two changes if another object of that name was there: it must have gone unseen.

        An indexer that raises leaves the cache as it was.
        """
        if self.holds(identity):
            return []
        index_keys = frozenset((name, key) for name, indexer in self._indexers.items() for key in indexer(obj))
        old = self._take(identity.key)
        self._entries[identity.key] = _Entry(identity, obj, index_keys)
        for name, index_key in index_keys:
            self._indexes[name].setdefault(index_key, {})[identity.key] = None
        if old is not None and old.identity.uid != identity.uid:
            return [Change(old.obj, None), Change(None, obj)]
        return [Change(old and old.obj, obj)]

    def remove(self, key: Key) -> list[Change[T]]:
        old = self._take(key)
        return [] if old is None else [Change(old.obj, None)]

    def _take(self, key: Key) -> _Entry[T] | None:
        entry = self._entries.pop(key, None)
        for name, index_key in entry.index_keys if entry else ():
            keys = self._indexes[name][index_key]
            del keys[key]
            if not keys:
                del self._indexes[name][index_key]
        return entry
