"""A Pod's life, told as the `status` that Kubernetes' clients read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .life import ContainerLife, PodLife, Running, Starting, State, Terminated, Waiting

JSONObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the Pod is: what its status says beside its containers."""

    ip: str
    start_time: datetime


def pod_status(life: PodLife, place: Place, previous: JSONObject, now: datetime) -> JSONObject:
    """The whole status. `previous` gives the times of conditions that have not changed."""
    return {
        "phase": phase(life),
        "podIP": place.ip,
        "podIPs": [{"ip": place.ip}],
        "hostIP": "127.0.0.1",
        "startTime": timestamp(place.start_time),
        "conditions": _conditions(life, previous.get("conditions") or (), now),
        "initContainerStatuses": [_container_status(c, init=True) for c in life.init],
        "containerStatuses": [_container_status(c, init=False) for c in life.main],
    }


def unschedulable_status(message: str, previous: JSONObject, now: datetime) -> JSONObject:
    """What a Pod that does not fit says until it does."""
    condition = ("PodScheduled", False, "Unschedulable", message)
    return {"phase": "Pending", "conditions": _keep_times([condition], previous.get("conditions") or (), now)}


def failed_status(reason: str, message: str) -> JSONObject:
    """A Pod that cannot even be read."""
    return {"phase": "Failed", "reason": reason, "message": message}


def phase(life: PodLife) -> str:
    if life.failed_init and life.over:
        return "Failed"
    ends = [c.state for c in life.main if isinstance(c.state, Terminated)]
    if life.initialized and len(ends) == len(life.main):
        return "Succeeded" if all(end.succeeded for end in ends) else "Failed"
    begun = any(isinstance(c.state, Running | Terminated) or c.last for c in life.main)
    return "Running" if begun else "Pending"


def _conditions(life: PodLife, previous: Iterable[Mapping[str, Any]], now: datetime) -> list[JSONObject]:
    completed = life.over and not life.going
    unready = [c.spec.name for c in life.main if not c.ready]
    reason = "PodCompleted" if completed and phase(life) == "Succeeded" else "ContainersNotReady"
    message = f"containers with unready status: [{' '.join(unready)}]"
    ready = (True, "", "") if not unready else (False, reason, message)
    uninitialized = [c.spec.name for c in life.init if not _succeeded(c)]
    initialized = (
        (False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(uninitialized)}]")
        if uninitialized
        else (True, "", "")
    )
    rows = [
        ("PodScheduled", True, "", ""),
        ("Initialized", *initialized),
        ("ContainersReady", *ready),
        ("Ready", *ready),
    ]
    return _keep_times(rows, previous, now)


def _succeeded(container: ContainerLife) -> bool:
    return isinstance(container.state, Terminated) and container.state.succeeded


def _keep_times(
    rows: Iterable[tuple[str, bool, str, str]], previous: Iterable[Mapping[str, Any]], now: datetime
) -> list[JSONObject]:
    """`lastTransitionTime` moves only when the status does: `kubectl wait` and people read it."""
    before = {c.get("type"): c for c in previous}
    conditions = []
    for type_, holds, reason, message in rows:
        status = "True" if holds else "False"
        old = before.get(type_, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        condition: JSONObject = {
            "type": type_,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": since or timestamp(now),
        }
        conditions.append(condition | ({"reason": reason, "message": message} if reason else {}))
    return conditions


def _container_status(container: ContainerLife, *, init: bool) -> JSONObject:
    return {
        "name": container.spec.name,
        "image": container.spec.image,
        "imageID": "",
        "ready": container.ready or (init and _succeeded(container)),
        "started": container.started,
        "restartCount": container.restarts,
        "state": _state(container.state),
        "lastState": _state(container.last) if container.last else {},
    }


def _state(state: State) -> JSONObject:
    match state:
        case Waiting(reason, message) | Starting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(started_at):
            return {"running": {"startedAt": timestamp(started_at)}}
        case Terminated():
            return {"terminated": _terminated(state)}


def _terminated(end: Terminated) -> JSONObject:
    body: JSONObject = {
        "exitCode": end.exit_code,
        "reason": end.reason,
        "finishedAt": timestamp(end.finished_at),
    }
    if end.started_at:
        body["startedAt"] = timestamp(end.started_at)
    if end.signal:
        body["signal"] = end.signal
    if end.message:
        body["message"] = end.message
    return body


def timestamp(time: datetime) -> str:
    """Kubernetes' metav1.Time: whole seconds, UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stopped_status(status: JSONObject, now: datetime) -> JSONObject:
    """A status of a Pod whose node stops: nothing of it serves, and all of it comes back with the node."""
    conditions = status.get("conditions") or ()
    message = "the node agent was stopped"
    rows = [
        (c["type"], False, "NodeShutdown", message)
        if c["type"] in ("Ready", "ContainersReady")
        else (c["type"], c["status"] == "True", c.get("reason", ""), c.get("message", ""))
        for c in conditions
    ]
    containers = [c | {"ready": False, "started": False} for c in status.get("containerStatuses") or ()]
    return status | {"conditions": _keep_times(rows, conditions, now), "containerStatuses": containers}
