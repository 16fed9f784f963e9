"""The scale subresource: the one number of an object that `kubectl scale`, autoscalers and wakers turn."""

from __future__ import annotations

from kubeai.embedded.kinds import Kind, ScalePaths
from kubeai.embedded.paths import first, replaced
from kubeai.embedded.schemas.meta import whole
from kubeai.embedded.schemas.terms import integer, record, text
from kubeai.embedded.status import Cause, JSONObject, internal, invalid

API_VERSION = "autoscaling/v1"
SCHEMA = whole(
    "Scale is how many replicas there are, and how many there should be.",
    spec=record("What is wanted.", replicas=integer("How many replicas.")),
    status=record("What there is.", replicas=integer("How many replicas."), selector=text("Which Pods they are.")),
)


def read_scale(paths: ScalePaths, obj: JSONObject) -> JSONObject:
    """The Scale object as readers get it: there is none while nobody has said how many replicas there should be."""
    if first(obj, paths.spec_replicas) is None:
        raise internal(f'the spec replicas field "{paths.spec_replicas}" does not exist')
    return scale_of(paths, obj)


def scale_of(paths: ScalePaths, obj: JSONObject) -> JSONObject:
    """The Scale object that stands for this one. Where it wants no replicas it says nothing of them."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: JSONObject = {"replicas": first(obj, paths.status_replicas) or 0}
    if paths.selector and (selector := first(obj, paths.selector)):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": replicas} if (replicas := first(obj, paths.spec_replicas)) else {},
        "status": status,
    }


def scaled(kind: Kind, paths: ScalePaths, obj: JSONObject, scale: JSONObject) -> JSONObject:
    """The object with the replicas that the Scale asks for. A version in the Scale is a condition, as anywhere."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        cause = Cause(paths.spec_replicas, f"Invalid value: {replicas!r}: should be a non-negative integer")
        raise invalid(kind.resource, obj["metadata"]["name"], [cause])
    changed = replaced(obj, paths.spec_replicas, replicas)
    version = (scale.get("metadata") or {}).get("resourceVersion") or obj["metadata"]["resourceVersion"]
    return changed | {"metadata": obj["metadata"] | {"resourceVersion": version}}
