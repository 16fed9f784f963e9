"""The table columns of the built-in kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kubeai.embedded.kinds import AGE, Column
from kubeai.embedded.podstate import ready_count, restarts, summary
from kubeai.embedded.status import JSONObject

Cell = str | int | float | None
Cells = Callable[[JSONObject, datetime], list[Cell]]


def age(then: Any, now: datetime) -> str:
    """How long ago, in kubectl's words."""
    if not then:
        return "<unknown>"
    try:
        return human_duration((now - datetime.fromisoformat(str(then))).total_seconds())
    except (ValueError, TypeError):  # a column of a CRD may lead to anything
        return "<invalid>"


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human_duration(seconds: float) -> str:
    """Two units where the first is small: 45s, 3m20s, 25m, 4h12m, 20h, 2d3h, 40d, 2y."""
    s = int(seconds)
    if s < 0:
        return "0s"
    if s < 2 * _MINUTE:
        return f"{s}s"
    if s < 10 * _MINUTE:
        return _pair(s, _MINUTE, "m", 1, "s")
    if s < 3 * _HOUR:
        return f"{s // _MINUTE}m"
    if s < 8 * _HOUR:
        return _pair(s, _HOUR, "h", _MINUTE, "m")
    if s < 2 * _DAY:
        return f"{s // _HOUR}h"
    if s < 8 * _DAY:
        return _pair(s, _DAY, "d", _HOUR, "h")
    if s < 2 * _YEAR:
        return f"{s // _DAY}d"
    return _pair(s, _YEAR, "y", _DAY, "d") if s < 8 * _YEAR else f"{s // _YEAR}y"


def _pair(s: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = s % big // small
    return f"{s // big}{big_name}" + (f"{rest}{small_name}" if rest else "")


def _age(obj: JSONObject, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _columns(*names: str, wide: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """Columns by name; `AGE` stands where it is named, those in `wide` are for -o wide."""
    shown = [AGE if name == "Age" else Column(name, "", format="") for name in names]
    return (*shown, *(Column(name, "", priority=1) for name in wide))


def _pod(pod: JSONObject, now: datetime) -> list[Cell]:
    ready, total = ready_count(pod)
    status = pod.get("status") or {}
    cells: list[Cell] = [f"{ready}/{total}", summary(pod), restarts(pod), _age(pod, now)]
    return [*cells, status.get("podIP", "<none>"), pod["spec"].get("nodeName", "<none>")]


def _job(job: JSONObject, now: datetime) -> list[Cell]:
    spec, status = job["spec"], job.get("status") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or () if c.get("status") == "True"}
    state = next((name for name in ("Complete", "Failed", "Suspended") if name in conditions), "Running")
    if job["metadata"].get("deletionTimestamp"):
        state = "Terminating"
    wanted = spec.get("completions", f"1 of {spec.get('parallelism', 1)}")
    took = "<none>"
    if begun := status.get("startTime"):
        end = status.get("completionTime")
        took = age(begun, datetime.fromisoformat(end) if end else now)
    containers = spec["template"]["spec"].get("containers") or []
    cells: list[Cell] = [state, f"{status.get('succeeded', 0)}/{wanted}", took, _age(job, now)]
    return [*cells, ",".join(c["name"] for c in containers), ",".join(c.get("image", "") for c in containers)]


def _node(node: JSONObject, now: datetime) -> list[Cell]:
    status = node.get("status") or {}
    ready = next((c.get("status") for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    state = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    if (node.get("spec") or {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = [n.removeprefix(prefix) for n in node["metadata"].get("labels") or {} if n.startswith(prefix)]
    info = status.get("nodeInfo") or {}
    addresses = {a.get("type"): a.get("address") for a in status.get("addresses") or ()}
    shown = [info.get(name, "<unknown>") for name in ("osImage", "kernelVersion", "containerRuntimeVersion")]
    cells: list[Cell] = [state, ",".join(sorted(roles)) or "<none>", _age(node, now), info.get("kubeletVersion", "")]
    return [*cells, addresses.get("InternalIP", "<none>"), *shown]


def _event(event: JSONObject, now: datetime) -> list[Cell]:
    involved = event.get("involvedObject") or {}
    source = event.get("source") or {}
    last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    begun = event.get("firstTimestamp") or last
    target = f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"
    cells: list[Cell] = [age(last, now), event.get("type", ""), event.get("reason", ""), target]
    cells.append(str(event.get("message", "")).strip())
    return [
        *cells,
        source.get("component") or event.get("reportingComponent", ""),
        age(begun, now),
        event.get("count", 1),
    ]


def _config_map(obj: JSONObject, now: datetime) -> list[Cell]:
    return [len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj, now)]


def _secret(obj: JSONObject, now: datetime) -> list[Cell]:
    return [obj.get("type", ""), len(obj.get("data") or {}), _age(obj, now)]


def _namespace(obj: JSONObject, now: datetime) -> list[Cell]:
    return [(obj.get("status") or {}).get("phase", ""), _age(obj, now)]


def _service(obj: JSONObject, now: datetime) -> list[Cell]:
    spec = obj.get("spec") or {}
    ports = ",".join(f"{p.get('port')}/{p.get('protocol')}" for p in spec.get("ports") or ())
    selector = ",".join(f"{k}={v}" for k, v in (spec.get("selector") or {}).items())
    cells: list[Cell] = [spec.get("type", ""), spec.get("clusterIP", "<none>"), "<none>", ports or "<none>"]
    return [*cells, _age(obj, now), selector or "<none>"]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _claim(obj: JSONObject, now: datetime) -> list[Cell]:
    spec, status = obj["spec"], obj.get("status") or {}
    modes = ",".join(_MODES.get(mode, mode) for mode in status.get("accessModes") or ())
    capacity = (status.get("capacity") or {}).get("storage", "")
    cells: list[Cell] = [status.get("phase", ""), spec.get("volumeName", ""), str(capacity), modes]
    return [*cells, spec.get("storageClassName", ""), _age(obj, now), spec.get("volumeMode", "")]


def _definition(obj: JSONObject, now: datetime) -> list[Cell]:
    return [obj["metadata"].get("creationTimestamp", "")]


def _lease(obj: JSONObject, now: datetime) -> list[Cell]:
    return [(obj.get("spec") or {}).get("holderIdentity", ""), _age(obj, now)]


def _service_account(obj: JSONObject, now: datetime) -> list[Cell]:
    return [len(obj.get("secrets") or ()), _age(obj, now)]


#: By the store's name of the kind.
BUILTIN: Mapping[str, tuple[tuple[Column, ...], Cells]] = {
    "pods": (_columns("Ready", "Status", "Restarts", "Age", wide=("IP", "Node")), _pod),
    "jobs.batch": (_columns("Status", "Completions", "Duration", "Age", wide=("Containers", "Images")), _job),
    "nodes": (
        _columns(
            *("Status", "Roles", "Age", "Version"),
            wide=("Internal-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
        ),
        _node,
    ),
    "events": (
        (
            *_columns("Last Seen", "Type", "Reason", "Object", "Message"),
            *_columns(wide=("Source", "First Seen")),
            Column("Count", "", type="integer", priority=1),
        ),
        _event,
    ),
    "configmaps": ((Column("Data", "", type="integer"), AGE), _config_map),
    "secrets": ((Column("Type", ""), Column("Data", "", type="integer"), AGE), _secret),
    "namespaces": (_columns("Status", "Age"), _namespace),
    "services": (_columns("Type", "Cluster-IP", "External-IP", "Port(s)", "Age", wide=("Selector",)), _service),
    "serviceaccounts": ((Column("Secrets", "", type="integer"), AGE), _service_account),
    "persistentvolumeclaims": (
        _columns("Status", "Volume", "Capacity", "Access Modes", "StorageClass", "Age", wide=("VolumeMode",)),
        _claim,
    ),
    "customresourcedefinitions.apiextensions.k8s.io": (_columns("Created At"), _definition),
    "leases.coordination.k8s.io": (_columns("Holder", "Age"), _lease),
}
