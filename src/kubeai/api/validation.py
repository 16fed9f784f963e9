"""Would an API server take this Model? Checked offline, with the same schema and the same rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubeai.api.crd import model_schema
from kubeai.api.k8s.names import dns_subdomain_fault, label_key_fault, label_value_fault
from kubeai.api.k8s.resources import MODELS
from kubeai.api.rules import RULES, Rule
from kubeai.api.schema import Schema
from kubeai.api.structural import FieldError, check, with_defaults

__all__ = ["RULES", "FieldError", "Rule", "default_model", "places", "validate_model"]

_STRING: Schema = {"type": "string"}
_STRINGS: Schema = {"type": "object", "additionalProperties": _STRING}
_OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
#: ObjectMeta: the API server knows it without being told, so it is not in the CRD.
_METADATA: Schema = {
    "type": "object",
    "properties": {
        "name": _STRING,
        "generateName": _STRING,
        "namespace": _STRING,
        "labels": _STRINGS,
        "annotations": _STRINGS,
        "finalizers": {"type": "array", "items": _STRING},
        "ownerReferences": _OBJECTS,
        "managedFields": _OBJECTS,
        "uid": _STRING,
        "resourceVersion": _STRING,
        "selfLink": _STRING,
        "generation": {"type": "integer"},
        "creationTimestamp": _STRING,
        "deletionTimestamp": _STRING,
        "deletionGracePeriodSeconds": {"type": "integer"},
    },
}
#: A fault of one of these kinds may make a rule fail for the wrong reason, so rules wait until they are gone.
_BLOCKING = ("type", "required", "enum", "maxLength", "maxItems", "format")


def default_model(obj: Mapping[str, Any]) -> dict[str, Any]:
    """A copy as the API server would store it: absent fields have their defaults."""
    filled = with_defaults(obj, model_schema())
    assert isinstance(filled, dict)
    return filled


def validate_model(obj: Any, old: Mapping[str, Any] | None = None) -> list[FieldError]:
    """Every fault of a Model; with `old`, also of the change from it. An empty list means that it is good."""
    if not isinstance(obj, Mapping):
        return [FieldError("", f"must be an object, not {obj!r}", "type: object")]
    schema = _schema_with_metadata()
    new = with_defaults(obj, schema)
    faults = [*_check_head(new), *check(new, schema, "")]
    if not any(fault.rule.startswith(_BLOCKING) for fault in faults):
        faults += check_rules(new, default_model(old) if old is not None else None)
    return faults


def _schema_with_metadata() -> Schema:
    schema = model_schema()
    return {**schema, "properties": {**schema["properties"], "metadata": _METADATA}}


def _check_head(obj: Mapping[str, Any]) -> Iterator[FieldError]:
    for key, expected in (("apiVersion", MODELS.api_version), ("kind", MODELS.kind)):
        if obj.get(key) != expected:
            yield FieldError(key, f"must be {expected}, not {obj.get(key)!r}", f"{key}: {expected}")
    metadata = obj.get("metadata", {})
    if isinstance(metadata, Mapping):
        yield from _check_metadata(metadata)


def _check_metadata(metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    name = metadata.get("name")
    if name is None and not metadata.get("generateName"):
        yield FieldError("metadata.name", "required", "required")
    if isinstance(name, str) and (fault := dns_subdomain_fault(name)):
        yield FieldError("metadata.name", fault, "DNS subdomain name")
    for field in ("labels", "annotations"):
        entries = metadata.get(field)
        for key, value in entries.items() if isinstance(entries, Mapping) else ():
            if fault := label_key_fault(str(key)):
                yield FieldError(f"metadata.{field}", f"key {key!r}: {fault}", "qualified name")
            if field == "labels" and isinstance(value, str) and (fault := label_value_fault(value)):
                yield FieldError(f"metadata.labels.{key}", f"{value!r} {fault}", "label value")


def check_rules(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[FieldError]:
    """The rules alone, on a Model whose fields are sound."""
    for rule in RULES:
        if rule.transition and old is None:
            continue
        for path, value, before in places(new, old, rule.path):
            if rule.transition and before is None:
                continue
            if not rule.check(value, before):
                yield FieldError(_below(path, rule.field), rule.message, rule.cel)


def places(new: Any, old: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every value at a rule's place, with where it is and what was there before.

    Items of a list have no "before": the API server cannot tell which of the old items one was.
    """
    found = [("", new, old)]
    for step in path.split(".") if path else ():
        name, each, _ = step.partition("[]")
        found = [
            (_below(place, name), value[name], before.get(name) if isinstance(before, Mapping) else None)
            for place, value, before in found
            if name in value
        ]
        if each:
            found = [(f"{place}[{index}]", item, None) for place, value, _ in found for index, item in enumerate(value)]
    yield from found


def _below(path: str, name: str) -> str:
    return ".".join(part for part in (path, name) if part)
