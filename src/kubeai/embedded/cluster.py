"""The verbs of the Kubernetes API over the store, without HTTP.

Each verb decides and stores in one go, without awaiting, so that no two writes can be interleaved: reading an object,
changing it and storing it is atomic. What a write entails elsewhere (garbage collection) is done by `settle`, which
the server calls after every write.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from kubeai.api.k8s.names import random_suffix
from kubeai.api.k8s.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from kubeai.embedded import collect
from kubeai.embedded.admission.definitions import accepted
from kubeai.embedded.admission.pipeline import FieldValidation, admit
from kubeai.embedded.builtin import NAMESPACES as FIRST_NAMESPACES
from kubeai.embedded.collect import Collector
from kubeai.embedded.deleting import FOREGROUND, ORPHAN, DeleteOptions, is_held, marked
from kubeai.embedded.eventlife import EventLife
from kubeai.embedded.kinds import Catalog, Kind
from kubeai.embedded.merging.apply import Manager, apply, managed_fields, track_update
from kubeai.embedded.selection import Selection
from kubeai.embedded.status import (
    Cause,
    JSONObject,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    internal,
    invalid,
    not_found,
)
from kubeai.embedded.store import Entry, Event, Key, Store
from kubeai.embedded.writing import (
    check_applied,
    check_identity,
    count_generation,
    new_object,
    next_object,
    shown_form,
    stored_form,
    timestamp,
)

#: What makes the new content of an object out of the stored one.
Change = Callable[[JSONObject], JSONObject]
_MAX_NAME_TRIES = 8


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is asked for."""

    now: datetime
    dry_run: bool = False
    manager: str = "unknown"
    validation: FieldValidation = "Warn"
    #: apply only: take over fields that other managers own
    force: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a write has led to."""

    entry: Entry
    created: bool = False
    removed: bool = False
    warnings: tuple[str, ...] = ()


class Cluster:
    """The objects, the kinds, and the rules of the API that connect them."""

    def __init__(self, store: Store, catalog: Catalog, entropy: Callable[[int], bytes]) -> None:
        self.store = store
        self.catalog = catalog
        self._entropy = entropy
        self._collector = Collector()
        self._events = EventLife(store)
        for entry in store.entries(collect.DEFINITIONS):
            catalog.install(entry.obj)
        self._collector.sweep(store)
        store.subscribe(self._observe)

    def _observe(self, event: Event) -> None:
        if event.entry.key.resource == collect.DEFINITIONS:
            if event.type == "DELETED":
                self.catalog.uninstall(event.entry.key.name)
            else:
                self.catalog.install(event.entry.obj)
        self._collector.observe(event, self.store)
        self._events.observe(event)

    def found(self, now: datetime) -> None:
        """Make the namespaces that a cluster starts with, unless they are there."""
        kind = self.kind(NAMESPACES.group, NAMESPACES.version, NAMESPACES.plural)
        for name in FIRST_NAMESPACES:
            if self.store.get(Key(kind.key, "", name)) is None:
                self.create(kind, "", {"metadata": {"name": name}}, WriteOptions(now, manager="kubeai"))

    def install(self, definition: JSONObject, now: datetime) -> None:
        """Make sure that a definition is there, and is this one."""
        resource = CUSTOM_RESOURCE_DEFINITIONS
        kind = self.kind(resource.group, resource.version, resource.plural)
        options = WriteOptions(now, manager="kubeai", validation="Ignore")
        name = definition["metadata"]["name"]
        if self.store.get(Key(kind.key, "", name)) is None:
            self.create(kind, "", definition, options)
        else:
            self.update(kind, "", name, lambda old: old | {"spec": definition["spec"]}, options)

    # reading

    def kind(self, group: str, version: str, plural: str) -> Kind:
        kind = self.catalog.find(group, version, plural)
        if kind is None:
            raise StatusError(404, "NotFound", "the server could not find the requested resource")
        return kind

    def get(self, kind: Kind, namespace: str, name: str) -> Entry:
        entry = self.store.get(Key(kind.key, namespace, name))
        if entry is None:
            raise not_found(kind.resource, name)
        return entry

    def select(self, kind: Kind, selection: Selection) -> list[Entry]:
        if selection.namespace and selection.name:  # no need to look at thousands for one
            entry = self.store.get(Key(kind.key, selection.namespace, selection.name))
            entries = [entry] if entry is not None else []
        else:
            entries = self.store.entries(kind.key, selection.namespace)
        return entries if selection.everything else [e for e in entries if selection.matches(e.obj)]

    # writing

    def create(self, kind: Kind, namespace: str, obj: JSONObject, options: WriteOptions) -> Written:
        check_identity(kind, obj, namespace)
        created = new_object(kind, deepcopy(obj), namespace, self._new_uid(), options.now)
        metadata = created["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._generated_name(kind, namespace, str(metadata["generateName"]))
        self._check_namespace(kind, namespace, str(metadata.get("name", "")))
        warnings = self._admit(kind, created, None, options)
        if kind.key == collect.DEFINITIONS:
            created["status"] = accepted(created, timestamp(options.now))
        key = Key(kind.key, namespace, metadata["name"])
        if self.store.get(key) is not None:
            raise already_exists(kind.resource, key.name)
        return Written(self._put(key, created, options), created=True, warnings=warnings)

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        options: WriteOptions,
        subresource: str = "",
        *,
        through: str = "",
    ) -> Written:
        """Change an object by whatever `change` makes of its present state (a replacement ignores that).

        `through` is the subresource by which the writer is known where that is not the one that limits the change.
        """
        entry = self.get(kind, namespace, name)
        old = entry.obj
        wanted = change(shown_form(kind, old))
        self._check_versions(kind, entry, wanted, namespace)
        new = next_object(kind, old, deepcopy(wanted), subresource)
        manager = Manager(options.manager, subresource=through or subresource)
        self._track(kind, entry, wanted, new, manager, options.now)
        return self._finish_update(kind, entry, new, options)

    def apply(
        self, kind: Kind, namespace: str, name: str, config: JSONObject, options: WriteOptions, subresource: str = ""
    ) -> Written:
        """Server-side apply: creates the object if it is not there."""
        check_applied(kind, config, namespace, name)
        manager = Manager(options.manager, "Apply", subresource)
        config = stored_form(kind, config, namespace)
        config["metadata"]["name"] = name
        entry = self.store.get(Key(kind.key, namespace, name))
        if entry is None:
            return self._apply_new(kind, namespace, config, manager, options)
        if "resourceVersion" in config["metadata"]:
            self._check_versions(kind, entry, config, namespace)
        applied = apply(entry.obj, config, manager, kind.schema, force=options.force)
        new = next_object(kind, entry.obj, deepcopy(applied.obj), subresource)
        new["metadata"]["managedFields"] = managed_fields(applied.owners, entry.obj, timestamp(options.now))
        return self._finish_update(kind, entry, new, options)

    def _apply_new(
        self, kind: Kind, namespace: str, config: JSONObject, manager: Manager, options: WriteOptions
    ) -> Written:
        if manager.subresource:
            raise not_found(kind.resource, config["metadata"]["name"])
        blank = {"apiVersion": config["apiVersion"], "kind": config["kind"], "metadata": {}}
        owners = apply(blank, config, manager, kind.schema, force=True).owners
        written = self.create(kind, namespace, config, replace(options, dry_run=True))
        obj = written.entry.obj
        fields = managed_fields(owners, obj, timestamp(options.now))
        obj = obj | {"metadata": obj["metadata"] | {"managedFields": fields}}
        return replace(written, entry=self._put(written.entry.key, obj, options))

    def _finish_update(self, kind: Kind, entry: Entry, new: JSONObject, options: WriteOptions) -> Written:
        old = entry.obj
        warnings = self._admit(kind, new, old, options)
        if kind.key == collect.DEFINITIONS:
            new["status"] = accepted(new, timestamp(options.now))
        count_generation(kind, old, new)
        if new == old:
            return Written(entry, warnings=warnings)
        if "deletionTimestamp" in new["metadata"] and not is_held(new):
            removed = self._remove(entry, options)
            new["metadata"]["resourceVersion"] = removed.metadata["resourceVersion"]
            return Written(Entry(entry.key, removed.version, new), removed=True, warnings=warnings)
        return Written(self._put(entry.key, new, options), warnings=warnings)

    def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> Written:
        entry = self.get(kind, namespace, name)
        if options.uid and options.uid != entry.uid:
            why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({entry.uid})"
            raise conflict(kind.resource, name, f"Precondition failed: {why}")
        if options.version and options.version != entry.metadata["resourceVersion"]:
            raise conflict(kind.resource, name, "Precondition failed: the resource version does not match")
        if kind.key == NAMESPACES.group_plural and name in FIRST_NAMESPACES:
            raise forbidden(kind.resource, name, "this namespace may not be deleted")
        if options.propagation is None and kind.orphans_dependents and not set(entry.finalizers) & {FOREGROUND, ORPHAN}:
            options = replace(options, propagation="Orphan")
        return self._delete(kind, entry, options)

    def _delete(self, kind: Kind, entry: Entry, options: DeleteOptions) -> Written:
        obj = marked(kind, entry.obj, options)
        write = WriteOptions(options.now, dry_run=options.dry_run)
        if not is_held(obj):
            return Written(self._remove(entry, write), removed=True)
        return Written(entry if obj == entry.obj else self._put(entry.key, obj, write))

    # consequences

    def settle(self, now: datetime) -> None:
        """Carry out what recent changes, and time, entail, until nothing follows any more."""
        for expired in self._events.expired(now):
            self.store.remove(expired)
        while (key := self._collector.next()) is not None:
            try:
                for action in collect.plan(self.store, key, self._is_served):
                    self._carry_out(action, now)
            except BaseException:
                # The journal may be full: what could not be done now is done at the next write.
                self._collector.again(key)
                raise

    def _carry_out(self, action: collect.Action, now: datetime) -> None:
        kind = self.catalog.stored(action.entry.key.resource)
        # An earlier action of the same plan may have changed the object; it is then pending itself.
        if kind is None or self.store.get(action.entry.key) is not action.entry:
            return
        if isinstance(action, collect.Delete):
            self._delete(kind, action.entry, DeleteOptions(now, propagation=action.propagation))
        elif "deletionTimestamp" in action.obj["metadata"] and not is_held(action.obj):
            self.store.remove(action.entry.key)
        else:
            self.store.put(action.entry.key, action.obj)

    def _is_served(self, api_version: str, kind: str) -> bool:
        return any((k.resource.api_version, k.resource.kind) == (api_version, kind) for k in self.catalog)

    # parts

    def _admit(self, kind: Kind, obj: JSONObject, old: JSONObject | None, options: WriteOptions) -> tuple[str, ...]:
        # Objects are judged by the storage version, through whichever version they came.
        warnings = admit(self.catalog.stored(kind.key) or kind, obj, old, options.validation)
        return (kind.warning, *warnings) if kind.warning else tuple(warnings)

    def _put(self, key: Key, obj: JSONObject, options: WriteOptions) -> Entry:
        return Entry(key, 0, obj) if options.dry_run else self.store.put(key, obj)

    def _remove(self, entry: Entry, options: WriteOptions) -> Entry:
        return entry if options.dry_run else self.store.remove(entry.key)

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.resource.namespaced:
            return
        home = self.store.get(Key(NAMESPACES.group_plural, "", namespace))
        if home is None:
            raise not_found(NAMESPACES, namespace)
        if home.terminating:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
            raise forbidden(kind.resource, name, why, [cause])

    def _check_versions(self, kind: Kind, entry: Entry, wanted: JSONObject, namespace: str) -> None:
        check_identity(kind, wanted, namespace)
        metadata = wanted.get("metadata") or {}
        name = entry.key.name
        if metadata.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        if metadata.get("uid") and metadata["uid"] != entry.uid:
            why = f"the UID in the precondition ({metadata['uid']}) does not match the UID in record ({entry.uid})"
            raise conflict(kind.resource, name, f"Precondition failed: {why}")
        version = metadata.get("resourceVersion")
        if not version and kind.custom:
            # An unconditional update of a custom resource is refused by Kubernetes as well.
            cause = Cause("metadata.resourceVersion", "Invalid value: 0: must be specified for an update")
            raise invalid(kind.resource, name, [cause])
        if version and version != entry.metadata["resourceVersion"]:
            raise conflict(kind.resource, name)

    def _track(
        self, kind: Kind, entry: Entry, wanted: JSONObject, new: JSONObject, manager: Manager, now: datetime
    ) -> None:
        """Keep the book of field owners, where there is one."""
        if (wanted.get("metadata") or {}).get("managedFields") in ([], [{}]):
            new["metadata"].pop("managedFields", None)
        elif owners := track_update(entry.obj, new, manager, kind.schema):
            new["metadata"]["managedFields"] = managed_fields(owners, entry.obj, timestamp(now))

    def _generated_name(self, kind: Kind, namespace: str, prefix: str) -> str:
        for _ in range(_MAX_NAME_TRIES):
            name = prefix + random_suffix(self._entropy(5))
            if self.store.get(Key(kind.key, namespace, name)) is None:
                return name
        raise internal(f"no free name could be generated from {prefix!r}")

    def _new_uid(self) -> str:
        return str(UUID(bytes=self._entropy(16), version=4))
