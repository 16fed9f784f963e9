"""Tables: which columns the kinds have, and what an object shows in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import (
    EVENTS,
    JOBS,
    MODELS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    Resource,
)

from .podstate import pod_state, ready_containers, restarts

Object = Mapping[str, Any]
Cell = Callable[[Object, datetime], str]
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    cell: Cell
    #: Shown only with `-o wide`.
    wide: bool = False


def columns_of(resource: Resource, wide: bool) -> list[Column]:
    columns = COLUMNS.get(resource.plural, (_NAME, _AGE))
    return [column for column in columns if wide or not column.wide]


def header(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]


def row(obj: Object, columns: Sequence[Column], now: datetime) -> list[str]:
    return [column.cell(obj, now) or NOTHING for column in columns]


def pluck(obj: Any, *path: str) -> Any:
    """The value at a path; None where any step of it is absent."""
    for step in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(step)
    return obj


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago: `90s`, `12m`, `5h`, `3d`."""
    if not timestamp:
        return ""
    seconds = max(0, int((now - datetime.fromisoformat(timestamp)).total_seconds()))
    for unit, length, limit in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86_400}d"


def event_time(event: Object) -> str:
    """When an event was last seen; old and new clients say it in different fields."""
    times = (
        pluck(event, "series", "lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        pluck(event, "metadata", "creationTimestamp"),
    )
    return str(next(filter(None, times), ""))


def event_order(event: Object) -> tuple[str, int]:
    """Sorts events. Their times are often whole seconds; within one the server's versions tell what came first."""
    version = str(pluck(event, "metadata", "resourceVersion") or "")
    return event_time(event), int(version) if version.isdecimal() else 0


def ready_condition(model: Object) -> Object:
    conditions = pluck(model, "status", "conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == "Ready"), {})


def _field(*path: str) -> Cell:
    def cell(obj: Object, _: datetime) -> str:
        value = pluck(obj, *path)
        if isinstance(value, list):
            return ",".join(map(str, value))
        return "" if value is None else str(value)

    return cell


def _age(*path: str) -> Cell:
    return lambda obj, now: age(pluck(obj, *path), now)


def _pod(show: Callable[[Pod], str]) -> Cell:
    return lambda obj, _: show(msgspec.convert(obj, Pod))


def _model_replicas(model: Object, _: datetime) -> str:
    replicas = pluck(model, "status", "replicas") or {}
    return f"{replicas.get('ready', 0)}/{replicas.get('all', 0)}"


def _model_status(model: Object, _: datetime) -> str:
    if pluck(model, "metadata", "deletionTimestamp"):
        return "Terminating"
    return str(ready_condition(model).get("reason") or "Pending")


def _involved(event: Object, _: datetime) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_count(event: Object, _: datetime) -> str:
    return str(pluck(event, "series", "count") or event.get("count") or 1)


def _event_message(event: Object, _: datetime) -> str:
    return " ".join(str(event.get("message") or "").split())


def _job_state(job: Object, _: datetime) -> str:
    conditions = pluck(job, "status", "conditions") or ()
    done = (condition["type"] for condition in conditions if condition.get("status") == "True")
    return next(done, "Running" if pluck(job, "status", "active") else "Pending")


def _node_state(node: Object, _: datetime) -> str:
    conditions = pluck(node, "status", "conditions") or ()
    ready: Object = next((condition for condition in conditions if condition.get("type") == "Ready"), {})
    return {"True": "Ready", "False": "NotReady"}.get(ready.get("status", ""), "Unknown")


_NAME = Column("NAME", _field("metadata", "name"))
_AGE = Column("AGE", _age("metadata", "creationTimestamp"))

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    MODELS.plural: (
        _NAME,
        Column("ENGINE", _field("spec", "engine")),
        Column("FEATURES", _field("spec", "features")),
        Column("READY", _model_replicas),
        Column("STATUS", _model_status),
        _AGE,
        Column("URL", _field("spec", "url"), wide=True),
        Column("PROFILE", _field("spec", "resourceProfile"), wide=True),
        Column("MIN", _field("spec", "minReplicas"), wide=True),
        Column("MAX", _field("spec", "maxReplicas"), wide=True),
    ),
    PODS.plural: (
        _NAME,
        Column("READY", _pod(ready_containers)),
        Column("STATUS", _pod(pod_state)),
        Column("RESTARTS", _pod(lambda pod: str(restarts(pod)))),
        _AGE,
        Column("IP", _field("status", "podIP"), wide=True),
        Column("NODE", _field("spec", "nodeName"), wide=True),
    ),
    EVENTS.plural: (
        Column("LAST SEEN", lambda event, now: age(event_time(event), now)),
        Column("TYPE", _field("type")),
        Column("REASON", _field("reason")),
        Column("OBJECT", _involved),
        Column("COUNT", _event_count),
        Column("MESSAGE", _event_message),
    ),
    JOBS.plural: (_NAME, Column("STATUS", _job_state), _AGE),
    PERSISTENT_VOLUME_CLAIMS.plural: (
        _NAME,
        Column("STATUS", _field("status", "phase")),
        Column("CAPACITY", _field("status", "capacity", "storage")),
        _AGE,
    ),
    NODES.plural: (_NAME, Column("STATUS", _node_state), _AGE),
    NAMESPACES.plural: (_NAME, Column("STATUS", _field("status", "phase")), _AGE),
}
