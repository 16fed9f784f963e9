"""From the body of a PATCH to a change of the object."""

from __future__ import annotations

from typing import Any

from kubeai.embedded.cluster import Change
from kubeai.embedded.kinds import Kind
from kubeai.embedded.merging.patches import json_patch, merge_patch
from kubeai.embedded.merging.strategic import strategic_merge
from kubeai.embedded.status import Cause, JSONObject, bad_request, invalid, unsupported_media_type

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def change_of(kind: Kind, content_type: str, body: Any) -> Change:
    """What a patch of this content type does to an object."""
    patched = _patched_by(kind, content_type, body)
    return lambda obj: _of_the_same_uid(kind, obj, patched(obj))


def _patched_by(kind: Kind, content_type: str, body: Any) -> Change:
    if content_type == JSON:
        return lambda obj: _object(json_patch(obj, body))
    if not isinstance(body, dict):
        raise bad_request("the patch must be an object")
    patch: JSONObject = body
    if content_type == MERGE:
        return lambda obj: _object(merge_patch(obj, patch))
    if content_type == STRATEGIC and not kind.custom:
        return lambda obj: strategic_merge(obj, patch, kind.schema)
    accepted = [JSON, MERGE, APPLY] if kind.custom else [JSON, MERGE, STRATEGIC, APPLY]
    raise unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    )


def _of_the_same_uid(kind: Kind, old: JSONObject, new: JSONObject) -> JSONObject:
    """A patch that names a uid is meant for that object. (To a replacement another uid is a conflict instead.)"""
    metadata = new.get("metadata")
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    if uid and uid != old["metadata"]["uid"]:
        cause = Cause("metadata.uid", f'Invalid value: "{uid}": field is immutable')
        raise invalid(kind.resource, old["metadata"]["name"], [cause])
    return new


def _object(value: Any) -> JSONObject:
    if not isinstance(value, dict):
        raise bad_request("the patch must leave an object")
    return value
