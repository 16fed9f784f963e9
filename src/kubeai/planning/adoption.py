"""Pods that another revision, or another implementation, has made, and that say what ours would say: they may stay.

A hash tells that two Pods were rendered alike, not that two that were rendered otherwise differ. So before a server is
replaced because of its hash, its Pod is read: if it would run in the same way, it gets the new hash in place of a
successor. A running Pod says more than its template, because the API server fills in defaults and adds things of its
own; what is known to be filled in is passed over, and whatever is not understood counts as a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.quantity import QuantityError, parse_quantity
from kubeai.planning.names import POD_HASH_LABEL, is_draining

JSON = Mapping[str, Any]

_ANYTHING = object()
#: Field of a Pod's spec, at any depth -> what it is when nobody has said it.
_DEFAULTS: Mapping[str, Any] = {
    "apiVersion": "v1",
    "automountServiceAccountToken": _ANYTHING,  # never rendered: the service account decides
    "defaultMode": 0o644,
    "dnsPolicy": "ClusterFirst",
    "emptyDir": {},
    "enableServiceLinks": True,
    "failureThreshold": 3,
    "imagePullPolicy": _ANYTHING,
    "nodeName": _ANYTHING,
    "periodSeconds": 10,
    "preemptionPolicy": _ANYTHING,
    "priority": _ANYTHING,
    "pullPolicy": _ANYTHING,
    "protocol": "TCP",
    "resources": {},
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "scheme": "HTTP",
    "securityContext": {},
    "serviceAccount": _ANYTHING,  # an old name of serviceAccountName
    "serviceAccountName": "default",
    "successThreshold": 1,
    "terminationGracePeriodSeconds": 30,
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "timeoutSeconds": 1,
    "tolerations": [],
    "type": "",
    "volumeMounts": [],
    "volumes": [],
}
_TOKEN_VOLUME = "kube-api-access-"
_NODE_TROUBLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def candidates(pods: Iterable[Pod], hash: str | None) -> list[Pod]:
    """Those that would be replaced because of their hash alone."""
    return [
        pod
        for pod in pods
        if hash is not None
        and pod.labels.get(POD_HASH_LABEL) != hash
        and pod.ready
        and not (pod.terminating or pod.finished or is_draining(pod))
    ]


def adopted(pods: Iterable[Pod], wanted: JSON, specs: Mapping[str, JSON]) -> list[Pod]:
    """Of the candidates those that say the same as the `wanted` Pod; `specs` are theirs by uid."""
    return [pod for pod in pods if pod.uid in specs and _is_same_pod(pod, wanted, specs[pod.uid])]


def with_hash(pod: Pod, hash: str) -> Pod:
    labels = {**pod.labels, POD_HASH_LABEL: hash}
    return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels))


def _is_same_pod(pod: Pod, wanted: JSON, spec: JSON) -> bool:
    metadata = wanted["metadata"]
    labels = {key: value for key, value in metadata["labels"].items() if key != POD_HASH_LABEL}
    told = labels.items() <= pod.labels.items() and metadata["annotations"].items() <= pod.annotations.items()
    return told and same_spec(wanted["spec"], spec)


def same_spec(wanted: JSON, live: JSON) -> bool:
    """Whether a Pod with the spec `live` runs as one that is made of the spec `wanted` would."""
    return _same(wanted, _without_additions(live))


def _same(wanted: Any, live: Any) -> bool:
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        said = all(_same_field(key, value, live.get(key)) for key, value in wanted.items())
        return said and all(_is_filled_in(key, live, wanted) for key in live.keys() - wanted.keys())
    if _is_list(wanted) and _is_list(live):
        return len(wanted) == len(live) and all(map(_same, wanted, live))
    return bool(wanted == live)


def _same_field(key: str, wanted: Any, live: Any) -> bool:
    if live is None:  # the server stores no empty lists and maps
        return wanted in ([], {})
    if key in ("requests", "limits"):
        return isinstance(live, Mapping) and _amounts(wanted) == _amounts(live)
    return _same(wanted, live)


def _is_filled_in(key: str, live: JSON, wanted: JSON) -> bool:
    if key == "requests":  # what is limited and not requested is requested
        return _amounts(live[key]) == _amounts(wanted.get("limits") or {})
    default = _DEFAULTS.get(key, ...)
    return default is _ANYTHING or live[key] == default


def _amounts(resources: JSON) -> Mapping[str, Any]:
    try:
        return {name: parse_quantity(amount) for name, amount in resources.items()}
    except (QuantityError, AttributeError):
        return resources


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _without_additions(spec: JSON) -> JSON:
    """Without the service account's token and the patience with nodes that every Pod is given."""
    containers = {
        key: [{**container, "volumeMounts": _without_tokens(container.get("volumeMounts"))} for container in spec[key]]
        for key in ("containers", "initContainers")
        if spec.get(key)
    }
    tolerations = [each for each in spec.get("tolerations") or () if not _is_patience(each)]
    return {**spec, **containers, "volumes": _without_tokens(spec.get("volumes")), "tolerations": tolerations}


def _without_tokens(named: Sequence[JSON] | None) -> list[JSON]:
    return [each for each in named or () if not str(each.get("name", "")).startswith(_TOKEN_VOLUME)]


def _is_patience(toleration: JSON) -> bool:
    return toleration.get("key") in _NODE_TROUBLE and toleration.get("tolerationSeconds") == 300
