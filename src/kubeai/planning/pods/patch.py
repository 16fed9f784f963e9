"""The system configuration's RFC 6902 patches on each rendered Pod.

Whether a patch fits depends on the Pod, so a misfit shows only here: it stops this Model alone, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import jsonpatch
import jsonpointer

from kubeai.planning.errors import PlanningError
from kubeai.planning.names import MODEL_LABEL
from kubeai.planning.reasons import Reason


def apply_patches(
    pod: dict[str, Any], patches: Sequence[Mapping[str, Any]], setting: str = "modelServerPods.jsonPatches"
) -> dict[str, Any]:
    """A patched copy; the Pod itself if there are no patches. `setting` is where they come from, for messages."""
    if not patches:
        return pod
    try:
        patched = jsonpatch.apply_patch(pod, [dict(patch) for patch in patches])
        _check(patched, pod)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
        raise _invalid(setting, f"does not fit this Pod: {error}") from error
    except _NoPodError as error:
        raise _invalid(setting, str(error)) from error
    return cast("dict[str, Any]", patched)


class _NoPodError(Exception):
    """What a patch has left is no Pod that could be used."""


def _check(patched: Any, pod: Mapping[str, Any]) -> None:
    """A patch may change much, but what is left must still be a Pod of this Model."""
    spec = patched.get("spec") if isinstance(patched, dict) else None
    metadata = patched.get("metadata") if isinstance(patched, dict) else None
    if not isinstance(spec, dict) or not isinstance(metadata, dict):
        raise _NoPodError("leaves no Pod: metadata and spec must stay objects.")
    if not isinstance(spec.get("containers"), list) or not spec["containers"]:
        raise _NoPodError("leaves no container in /spec/containers.")
    labels, own = metadata.get("labels"), pod["metadata"]["labels"].get(MODEL_LABEL)
    if not isinstance(labels, dict) or labels.get(MODEL_LABEL) != own:
        raise _NoPodError(f"must not change the label {MODEL_LABEL!r}, by which Pods are found.")


def _invalid(setting: str, what: str) -> PlanningError:
    return PlanningError(Reason.INVALID_PATCH, f"{setting} of the system configuration: the patch {what}")
