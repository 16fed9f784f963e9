"""A Pod template that is laid over a finished Pod, as `kubectl patch --type strategic` would.

Objects are merged, null takes a field away, lists whose items have names are merged by them, other lists are replaced.

Whoever may write Models need not be allowed to make Pods. So a Model's own template must not give its Pods power over
their node or somebody else's identity, nor take away what the administrator has set for their security; the template
of a resource profile, which only the administrator writes, may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubeai.api.pods import OWN_POD_ANNOTATIONS, OWN_POD_LABELS
from kubeai.planning.errors import PlanningError
from kubeai.planning.names import ADAPTER_LABEL_PREFIX
from kubeai.planning.reasons import Reason

JSON = dict[str, Any]

#: List -> what names its items. A list that is not here is replaced as a whole.
_ITEM_NAMES: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
_POD_POWERS = (
    "$patch",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "nodeName",
    "securityContext",
    "serviceAccountName",
    "serviceAccount",
    "automountServiceAccountToken",
    "ephemeralContainers",
)
#: With a directive the container would begin anew, without its security context.
_CONTAINER_POWERS = ("$patch", "securityContext", "volumeDevices")
_CONTAINERS = ("containers", "initContainers")
#: Kinds of volumes that reach nothing outside the namespace. Kubernetes knows many others, and gets new ones.
_HARMLESS_IN_VOLUMES = frozenset(
    {
        "$patch",
        "name",
        "configMap",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "secret",
    }
)
#: What is written in these annotations is a security context, too.
_ANNOTATION_POWER = "container.apparmor.security.beta.kubernetes.io/"
#: The server's restart is what keeps a replica a replica.
_FIXED = ("restartPolicy",)


@dataclass(frozen=True, slots=True)
class Overlay:
    """One template and whose it is."""

    #: Where it stands, for messages.
    place: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    #: Whether its author decides about the cluster.
    trusted: bool


def apply_overlays(pod: JSON, overlays: Sequence[Overlay], security_context: Mapping[str, Any]) -> JSON:
    """A copy with all of them laid over it, one after the other. Raises `PlanningError`.

    Containers that a template adds have the same security context as ours, unless its author decides about that.
    """
    for overlay in overlays:
        if fault := next(_faults(overlay), None):
            raise _invalid(overlay, fault)
        metadata = pod["metadata"]
        patch = {"labels": dict(overlay.labels), "annotations": dict(overlay.annotations)}
        try:
            spec = _merged(pod["spec"], overlay.spec)
            if security_context and not overlay.trusted:
                spec = _secured(spec, pod["spec"], security_context)
            pod = pod | {"metadata": _merged(metadata, patch), "spec": spec}
        except _Misfit as misfit:
            raise _invalid(overlay, str(misfit)) from misfit
        containers = pod["spec"].get("containers")
        if not isinstance(containers, list) or "server" not in [container.get("name") for container in containers]:
            raise _invalid(overlay, "spec.containers must keep the container 'server'")
    return pod


def _faults(overlay: Overlay) -> Iterator[str]:
    for key in overlay.labels:
        if key in OWN_POD_LABELS or key.startswith(ADAPTER_LABEL_PREFIX):
            yield f"metadata.labels: {key!r} is KubeAI's own"
    for key in overlay.annotations:
        if key in OWN_POD_ANNOTATIONS:
            yield f"metadata.annotations: {key!r} is KubeAI's own"
    yield from (f"spec.{field} cannot be changed" for field in _FIXED if field in overlay.spec)
    if not overlay.trusted:
        annotations = (
            f"metadata.annotations: {key!r}" for key in overlay.annotations if key.startswith(_ANNOTATION_POWER)
        )
        for place in (*annotations, *_powers(overlay.spec)):
            yield f"{place} may only be set in the system configuration (resourceProfiles.NAME.template)"


def _powers(spec: Mapping[str, Any]) -> Iterator[str]:
    """Where a template reaches beyond its Pod."""
    yield from (f"spec.{field}" for field in _POD_POWERS if field in spec)
    for field in _CONTAINERS:
        for place, item in _items(spec, field, "spec"):
            yield from (f"{place}.{power}" for power in _CONTAINER_POWERS if power in item)
            yield from (f"{port}.hostPort" for port, fields in _items(item, "ports", place) if "hostPort" in fields)
    for place, item in _items(spec, "volumes", "spec"):
        yield from (f"{place}.{key}" for key in item if key not in _HARMLESS_IN_VOLUMES)


def _items(fields: Mapping[str, Any], key: str, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    items = fields.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping):
            yield f"{path}.{key}[{index}]", item


def _secured(spec: JSON, before: JSON, security_context: Mapping[str, Any]) -> JSON:
    """With a security context for the containers that were not there before."""
    secured = dict(spec)
    for field in _CONTAINERS:
        known = {container["name"] for container in before.get(field) or ()}
        if isinstance(containers := spec.get(field), list):
            secured[field] = [
                container if container["name"] in known else container | {"securityContext": dict(security_context)}
                for container in containers
            ]
    return secured


class _Misfit(Exception):  # noqa: N818 - it says what does not fit
    """The template has not the shape of what it is laid over."""


def _merged(target: Any, patch: Any, path: str = "spec") -> Any:
    if not isinstance(patch, Mapping):
        return patch
    directive = patch.get("$patch")
    if directive not in (None, "replace"):
        raise _Misfit(f"{path}: $patch: {directive} is known for items of lists only, as delete")
    result = dict(target) if isinstance(target, Mapping) and not directive else {}
    for key, value in patch.items():
        if key == "$patch":
            continue
        place = f"{path}.{key}"
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list) and key in _ITEM_NAMES:
            result[key] = _merged_items(result.get(key) or [], value, _ITEM_NAMES[key], place)
        else:
            result[key] = _merged(result.get(key), value, place)
    return result


def _merged_items(target: list[JSON], patches: list[Any], name: str, path: str) -> list[JSON]:
    items = {item.get(name): item for item in target}
    for index, patch in enumerate(patches):
        if not isinstance(patch, Mapping) or not isinstance(patch.get(name), str):
            raise _Misfit(f"{path}[{index}] needs a {name}")
        if patch.get("$patch") == "delete":
            items.pop(patch[name], None)
        else:
            items[patch[name]] = _merged(items.get(patch[name]), patch, f"{path}[{index}]")
    return list(items.values())


def _invalid(overlay: Overlay, fault: str) -> PlanningError:
    return PlanningError(Reason.INVALID_POD_TEMPLATE, f"{overlay.place}: {fault}.")
