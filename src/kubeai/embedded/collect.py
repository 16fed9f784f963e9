"""Garbage collection: what has to follow when an owner, a namespace or a definition goes.

`Collector` remembers what a change may have consequences for; `plan` decides about one object at a time. Nothing here
writes: the cluster carries the actions out, which leads to new changes, until there is nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kubeai.api.k8s.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from kubeai.embedded.admission.definitions import CLEANUP_FINALIZER
from kubeai.embedded.deleting import FOREGROUND, ORPHAN, Propagation
from kubeai.embedded.status import JSONObject
from kubeai.embedded.store import Entry, Event, Key, Store

DEFINITIONS = CUSTOM_RESOURCE_DEFINITIONS.group_plural


@dataclass(frozen=True, slots=True)
class Delete:
    """An object goes because what it belongs to went."""

    entry: Entry
    propagation: Propagation


@dataclass(frozen=True, slots=True)
class Rewrite:
    """An object loses owners or a finalizer, and nothing else."""

    entry: Entry
    obj: JSONObject


Action = Delete | Rewrite
#: Whether a kind (apiVersion, kind) is served at all.
IsServed = Callable[[str, str], bool]


class Collector:
    """The objects that have to be looked at."""

    def __init__(self) -> None:
        #: a dict for its order: who changed first is looked at first
        self._pending: dict[Key, None] = {}

    def observe(self, event: Event, store: Store) -> None:
        entry = event.entry
        if event.type != "DELETED":
            if entry.owners or entry.terminating:
                self._pending[entry.key] = None
            if event.before is not None and event.before.owners != entry.owners:
                self._owners(event.before, store)
            return
        for dependent in store.dependents(entry.uid):
            self._pending[dependent.key] = None
        self._owners(entry, store)
        self._pending[Key(NAMESPACES.group_plural, "", entry.key.namespace)] = None
        self._pending[Key(DEFINITIONS, "", entry.key.resource)] = None

    def _owners(self, entry: Entry, store: Store) -> None:
        """They may have waited for this object."""
        for owner in entry.owners:
            if (found := store.by_uid(owner.get("uid", ""))) is not None:
                self._pending[found.key] = None

    def sweep(self, store: Store) -> None:
        """After a restart everything may have consequences that were not carried out."""
        self._pending |= {entry.key: None for entry in store if entry.owners or entry.terminating}

    def again(self, key: Key) -> None:
        self._pending[key] = None

    def next(self) -> Key | None:
        key = next(iter(self._pending), None)
        if key is not None:
            del self._pending[key]
        return key


def plan(store: Store, key: Key, is_served: IsServed) -> list[Action]:
    """What has to happen on account of this object, as things stand."""
    entry = store.get(key)
    if entry is None:
        return []
    if not entry.terminating:
        return list(_plan_owned(store, entry, is_served))
    if ORPHAN in entry.finalizers:
        return [*_set_free(store, entry), Rewrite(entry, _without_finalizer(entry.obj, ORPHAN))]
    if FOREGROUND in entry.finalizers:
        return _plan_foreground(store, entry, is_served)
    if key.resource == NAMESPACES.group_plural:
        return _plan_namespace(store, entry)
    if key.resource == DEFINITIONS and CLEANUP_FINALIZER in entry.finalizers:
        return _plan_definition(store, entry)
    return []


def _plan_owned(store: Store, entry: Entry, is_served: IsServed) -> Iterator[Action]:
    """An object whose owners are all gone follows them; one that has others loses just the references."""
    gone = [owner for owner in entry.owners if _is_gone(store, entry, owner, is_served)]
    waiting = [owner for owner in entry.owners if owner not in gone and _waits(store, owner)]
    if not (gone or waiting):
        return
    if len(gone) + len(waiting) < len(entry.owners):
        kept = [owner for owner in entry.owners if owner not in gone and owner not in waiting]
        yield Rewrite(entry, _with_owners(entry.obj, kept))
    elif waiting and store.dependents(entry.uid):
        yield Delete(entry, "Foreground")
    else:
        yield Delete(entry, "Background")


def _is_gone(store: Store, entry: Entry, owner: JSONObject, is_served: IsServed) -> bool:
    found = store.by_uid(owner.get("uid", ""))
    if found is None:
        # Nothing is known of a kind that is not served: whoever serves it may still have the owner.
        return is_served(owner.get("apiVersion", ""), owner.get("kind", ""))
    # An owner in another namespace is none.
    return bool(found.key.namespace) and found.key.namespace != entry.key.namespace


def _waits(store: Store, owner: JSONObject) -> bool:
    """Whether the owner is being deleted and waits for this object."""
    found = store.by_uid(owner.get("uid", ""))
    return found is not None and FOREGROUND in found.finalizers and found.terminating


def _plan_foreground(store: Store, entry: Entry, is_served: IsServed) -> list[Action]:
    dependents = store.dependents(entry.uid)
    deletes = [action for d in dependents if not d.terminating for action in _plan_owned(store, d, is_served)]
    if any(_blocks(dependent, entry.uid) for dependent in dependents):
        return deletes
    return [*deletes, Rewrite(entry, _without_finalizer(entry.obj, FOREGROUND))]


def _blocks(dependent: Entry, uid: str) -> bool:
    return any(owner.get("uid") == uid and owner.get("blockOwnerDeletion") for owner in dependent.owners)


def _set_free(store: Store, entry: Entry) -> Iterator[Action]:
    for dependent in store.dependents(entry.uid):
        kept = [owner for owner in dependent.owners if owner.get("uid") != entry.uid]
        yield Rewrite(dependent, _with_owners(dependent.obj, kept))


def _plan_namespace(store: Store, entry: Entry) -> list[Action]:
    content = list(store.in_namespace(entry.key.name))
    if content:
        return _delete_all(content)
    return [Rewrite(entry, entry.obj | {"spec": {"finalizers": []}})] if entry.obj["spec"].get("finalizers") else []


def _plan_definition(store: Store, entry: Entry) -> list[Action]:
    content = store.entries(entry.key.name)
    return _delete_all(content) if content else [Rewrite(entry, _without_finalizer(entry.obj, CLEANUP_FINALIZER))]


def _delete_all(content: Iterable[Entry]) -> list[Action]:
    return [Delete(entry, "Background") for entry in content if not entry.terminating]


def _with_owners(obj: JSONObject, owners: list[JSONObject]) -> JSONObject:
    return _with_metadata(obj, "ownerReferences", owners)


def _without_finalizer(obj: JSONObject, finalizer: str) -> JSONObject:
    finalizers = [name for name in obj["metadata"].get("finalizers") or () if name != finalizer]
    return _with_metadata(obj, "finalizers", finalizers)


def _with_metadata(obj: JSONObject, field: str, values: list[JSONObject] | list[str]) -> JSONObject:
    metadata = {name: value for name, value in obj["metadata"].items() if name != field}
    return obj | {"metadata": metadata | ({field: values} if values else {})}
