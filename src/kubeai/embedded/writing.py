"""What a write makes of an object, before admission: which part of it counts, and what only the server may say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kubeai.embedded.kinds import Kind
from kubeai.embedded.status import JSONObject, bad_request

#: Metadata that clients send back but cannot change.
_KEPT = (
    "namespace",
    "name",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
    "managedFields",
)


def timestamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_identity(kind: Kind, obj: JSONObject, namespace: str) -> None:
    """The body must be of the kind, and the namespace, that the path names."""
    resource = kind.resource
    if not isinstance(obj.get("metadata", {}), dict):
        raise bad_request("metadata must be an object")
    said = (obj.get("apiVersion") or resource.api_version, obj.get("kind") or resource.kind)
    if said != (resource.api_version, resource.kind):
        raise bad_request(
            f"the object provided is {said[0]}/{said[1]}, but this path takes {resource.api_version}/{resource.kind}"
        )
    named = obj.get("metadata", {}).get("namespace")
    if named and resource.namespaced and named != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def check_applied(kind: Kind, config: JSONObject, namespace: str, name: str) -> None:
    """A configuration to apply says of itself what it is, and leaves the book of owners to the server."""
    resource = kind.resource
    version, said = str(config.get("apiVersion") or ""), str(config.get("kind") or "")
    if (version, said) != (resource.api_version, resource.kind):
        raise bad_request(f"invalid object type: {version if '/' in version else '/' + version}, Kind={said}")
    check_identity(kind, config, namespace)
    metadata = config.get("metadata") or {}
    if metadata.get("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")


def stored_form(kind: Kind, obj: JSONObject, namespace: str) -> JSONObject:
    """A copy in the storage version, with kind and namespace filled in, whose metadata may be changed."""
    metadata = dict(obj.get("metadata") or {})
    if kind.resource.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    head = {"apiVersion": kind.storage_api_version, "kind": kind.resource.kind, "metadata": metadata}
    return head | {name: value for name, value in obj.items() if name not in head}


def shown_form(kind: Kind, obj: JSONObject) -> JSONObject:
    """A stored object as readers of this version see it: versions differ in nothing but their name."""
    api_version = kind.resource.api_version
    return obj if obj["apiVersion"] == api_version else obj | {"apiVersion": api_version}


def new_object(kind: Kind, obj: JSONObject, namespace: str, uid: str, now: datetime) -> JSONObject:
    """The object that a create asks for, with the marks of the server."""
    created = stored_form(kind, obj, namespace)
    metadata = created["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "resourceVersion"):
        metadata.pop(field, None)
    metadata |= {"uid": uid, "creationTimestamp": timestamp(now)}
    if kind.counts_generations:
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)
    if kind.has_status and not kind.status_on_create:
        created.pop("status", None)
    return created


def next_object(kind: Kind, old: JSONObject, obj: JSONObject, subresource: str) -> JSONObject:
    """The object that an update asks for: each door changes only what is behind it."""
    namespace = old["metadata"].get("namespace", "")
    wanted = stored_form(kind, obj, namespace)
    wanted["metadata"] = _metadata(old["metadata"], wanted["metadata"])
    if subresource == "status":
        # Only built-in kinds let labels and annotations through this door.
        metadata = old["metadata"] if kind.custom else _status_metadata(old["metadata"], wanted["metadata"])
        return _with_status(old, wanted.get("status")) | {"metadata": metadata}
    return _with_status(wanted, old.get("status")) if kind.has_status else wanted


def _metadata(old: JSONObject, new: JSONObject) -> JSONObject:
    kept = {name: old[name] for name in _KEPT if name in old}
    free = {name: value for name, value in new.items() if name not in _KEPT and name != "selfLink"}
    return kept | free | {"resourceVersion": old["resourceVersion"]}


def _status_metadata(old: JSONObject, new: JSONObject) -> JSONObject:
    changeable = {name: new[name] for name in ("labels", "annotations") if name in new}
    return {name: value for name, value in old.items() if name not in ("labels", "annotations")} | changeable


def _with_status(obj: JSONObject, status: Any) -> JSONObject:
    rest = {name: value for name, value in obj.items() if name != "status"}
    return rest if status is None else rest | {"status": status}


def count_generation(kind: Kind, old: JSONObject, new: JSONObject) -> None:
    """A change of what is wanted (not of metadata or status) begins a new generation."""
    aside = {"metadata", "status"} if kind.has_status else {"metadata"}

    def wanted(obj: JSONObject) -> JSONObject:
        return {name: value for name, value in obj.items() if name not in aside}

    if kind.counts_generations and wanted(old) != wanted(new):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
