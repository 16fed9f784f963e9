"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902)."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from kubeai.embedded.status import JSONObject, StatusError, bad_request


def merge_patch(target: Any, patch: Any) -> Any:
    """Objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(target: JSONObject, patch: Any) -> JSONObject:
    if not isinstance(patch, list):
        raise bad_request("a JSON patch is a list of operations")
    try:
        patched: JSONObject = jsonpatch.apply_patch(target, patch)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"the JSON patch is not valid: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        # As Kubernetes answers when a `test` fails or a path is not there.
        message = f"the server rejected our request due to an error in our request: {error}"
        raise StatusError(422, "Invalid", message) from error
    return patched
