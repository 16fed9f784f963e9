"""What a deletion does to an object: it vanishes at once, or is marked and waits for those who have to let go of it.

Three things hold an object back: finalizers, the grace of a Pod that runs, and (for namespaces) what is in them. The
kind of propagation is a finalizer too: `foregroundDeletion` waits for the dependents, `orphan` sets them free first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from kubeai.embedded.admission.pods import DEFAULT_GRACE_S
from kubeai.embedded.kinds import Kind
from kubeai.embedded.status import JSONObject
from kubeai.embedded.writing import timestamp

Propagation = Literal["Background", "Foreground", "Orphan"]
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_PROPAGATION_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How a deletion is asked for."""

    now: datetime
    grace_s: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def marked(kind: Kind, obj: JSONObject, options: DeleteOptions) -> JSONObject:
    """The object as the deletion leaves it. If nothing holds it back (`is_held`), it is to be removed."""
    metadata = dict(obj["metadata"])
    _set_finalizers(metadata, options.propagation)
    grace_s = _grace_s(kind, obj, options.grace_s)
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = timestamp(options.now + timedelta(seconds=grace_s))
        metadata["deletionGracePeriodSeconds"] = grace_s
        if "generation" in metadata:
            metadata["generation"] += 1
    elif grace_s < metadata.get("deletionGracePeriodSeconds", 0):
        # A second deletion may only hurry the first one up.
        metadata["deletionTimestamp"] = timestamp(options.now + timedelta(seconds=grace_s))
        metadata["deletionGracePeriodSeconds"] = grace_s
    changed = obj | {"metadata": metadata}
    if kind.key == "namespaces":
        changed["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
    return changed


def _set_finalizers(metadata: JSONObject, propagation: Propagation | None) -> None:
    if propagation is None:
        return
    finalizers = [name for name in metadata.get("finalizers") or () if name not in (FOREGROUND, ORPHAN)]
    if propagation in _PROPAGATION_FINALIZERS:
        finalizers.append(_PROPAGATION_FINALIZERS[propagation])
    metadata.pop("finalizers", None)
    if finalizers:
        metadata["finalizers"] = finalizers


def _grace_s(kind: Kind, obj: JSONObject, asked_s: int | None) -> int:
    """Only a Pod that a node has taken on, and that has not ended yet, needs time."""
    if kind.key != "pods":
        return 0
    spec = obj["spec"]
    ended = (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    if ended or not spec.get("nodeName"):
        return 0
    if asked_s is not None:
        return max(asked_s, 0)
    return int(spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S))


def is_held(obj: JSONObject) -> bool:
    """Whether anything still holds back an object that is marked as deleted."""
    metadata = obj["metadata"]
    holds_namespace = obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers")
    return bool(metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds") or holds_namespace)
