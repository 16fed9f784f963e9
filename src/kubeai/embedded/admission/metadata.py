"""Names, labels, annotations, owners and finalizers: what every object must keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from kubeai.api.k8s.names import (
    dns_label_fault,
    dns_subdomain_fault,
    label_key_fault,
    label_value_fault,
)
from kubeai.embedded.admission.schema import TYPE_INVALID, forbidden, is_type, required, wrong
from kubeai.embedded.status import Cause

JSONObject = dict[str, Any]

#: All annotations of an object together; more belongs into a ConfigMap.
MAX_ANNOTATIONS_BYTES = 256 * 1024
#: Kinds whose names become host names, and so are a single DNS label.
_LABEL_NAMED = frozenset({"Namespace", "Service"})


def name_fault(kind: str, name: str) -> str | None:
    check: Callable[[str], str | None] = dns_label_fault if kind in _LABEL_NAMED else dns_subdomain_fault
    return check(name)


def _unreadable(path: str, value: Any, why: str) -> Cause:
    return replace(wrong(path, value, why), reason=TYPE_INVALID)


def check_metadata(metadata: JSONObject, kind: str, old: JSONObject | None) -> Iterator[Cause]:
    """The faults of an object's metadata. `old` is the stored object's, on an update."""
    yield from _check_name(metadata, kind)
    yield from _check_texts(metadata)
    yield from _check_owners(metadata.get("ownerReferences"))
    yield from _check_finalizers(metadata, old)


def _check_name(metadata: JSONObject, kind: str) -> Iterator[Cause]:
    name = metadata.get("name")
    if not name:
        yield Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
    elif not isinstance(name, str):
        yield _unreadable("metadata.name", name, "must be a string")
    elif fault := name_fault(kind, name):
        yield wrong("metadata.name", name, fault)


def _check_texts(metadata: JSONObject) -> Iterator[Cause]:
    for field in ("labels", "annotations"):
        texts = metadata.get(field)
        if texts is None:
            continue
        if not isinstance(texts, dict):
            yield _unreadable(f"metadata.{field}", texts, "must be a map of strings")
            continue
        yield from _check_entries(field, texts)


def _check_entries(field: str, texts: JSONObject) -> Iterator[Cause]:
    path = f"metadata.{field}"
    for key, value in texts.items():
        if fault := label_key_fault(key):
            yield wrong(path, key, fault)
        if not isinstance(value, str):
            yield _unreadable(f"{path}.{key}", value, "must be a string")
        elif field == "labels" and (fault := label_value_fault(value)):
            yield wrong(path, value, fault)
    size = sum(len(key) + len(value) for key, value in texts.items() if isinstance(value, str))
    if field == "annotations" and size > MAX_ANNOTATIONS_BYTES:
        yield Cause(path, f"Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes", "FieldValueTooLong")


def _check_owners(owners: Any) -> Iterator[Cause]:
    path = "metadata.ownerReferences"
    if owners is None:
        return
    if not isinstance(owners, list) or not all(isinstance(owner, dict) for owner in owners):
        yield _unreadable(path, owners, "must be a list of owner references")
        return
    for index, owner in enumerate(owners):
        for field in ("apiVersion", "kind", "name", "uid"):
            value = owner.get(field)
            if not value:
                yield required(f"{path}[{index}].{field}")
            elif not isinstance(value, str):
                yield _unreadable(f"{path}[{index}].{field}", value, "must be a string")
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        yield wrong(path, owners, "Only one reference can have Controller set to true")


def _check_finalizers(metadata: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    finalizers = metadata.get("finalizers")
    if finalizers is None:
        finalizers = []
    if not isinstance(finalizers, list) or not all(is_type(name, "string") for name in finalizers):
        yield _unreadable("metadata.finalizers", finalizers, "must be a list of names")
        return
    for name in finalizers:
        if fault := label_key_fault(name):
            yield wrong("metadata.finalizers", name, fault)
    if old is None or "deletionTimestamp" not in old:
        return
    if added := sorted(set(finalizers) - set(old.get("finalizers") or [])):
        why = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
        yield forbidden("metadata.finalizers", why)
