"""Kubernetes objects as we read them: just the fields that somebody here looks at.

Decoding into these structs is 20 times faster and 9 times smaller than into dicts, which matters with thousands of
Pods. Every field may be absent or null: a server written in Go sends null for an empty list, and one odd object must
never fail a whole page. What we *write* is plain JSON dicts (see `planning`), never these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import field

Labels = dict[str, str]
JSONObject = dict[str, Any]


class Struct(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Base of all: camelCase on the wire, immutable, unknown fields ignored.

    Subclasses repeat `frozen` only because type checkers do not see it inherited.
    """


class OwnerReference(Struct, frozen=True):
    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    controller: bool | None = None


class ObjectMeta(Struct, frozen=True):
    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Labels | None = None
    annotations: Labels | None = None
    finalizers: list[str] | None = None
    owner_references: list[OwnerReference] | None = None


class Object(Struct, frozen=True):
    """What every kind has. `None`-free views of the metadata for those who read it."""

    api_version: str | None = None
    kind: str | None = None
    metadata: ObjectMeta = ObjectMeta()

    @property
    def name(self) -> str:
        return self.metadata.name or ""

    @property
    def namespace(self) -> str:
        return self.metadata.namespace or ""

    @property
    def uid(self) -> str:
        return self.metadata.uid or ""

    @property
    def labels(self) -> Labels:
        return self.metadata.labels or {}

    @property
    def annotations(self) -> Labels:
        return self.metadata.annotations or {}

    @property
    def terminating(self) -> bool:
        """True from the moment that somebody asked for the deletion."""
        return self.metadata.deletion_timestamp is not None

    @property
    def controller_uid(self) -> str | None:
        """The uid of the owner that controls this object."""
        owners = self.metadata.owner_references or ()
        return next((o.uid for o in owners if o.controller), None)


class Condition(Struct, frozen=True):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None
    observed_generation: int | None = None


class ContainerStateWaiting(Struct, frozen=True):
    reason: str | None = None
    message: str | None = None


class ContainerStateRunning(Struct, frozen=True):
    started_at: datetime | None = None


class ContainerStateTerminated(Struct, frozen=True):
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Struct, frozen=True):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Struct, frozen=True):
    name: str | None = None
    ready: bool | None = None
    started: bool | None = None
    restart_count: int | None = None
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class PodStatus(Struct, frozen=True):
    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    pod_ip: str | None = field(name="podIP", default=None)
    start_time: datetime | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class PodSpec(Struct, frozen=True):
    node_name: str | None = None
    containers: list[JSONObject] | None = None
    init_containers: list[JSONObject] | None = None
    priority: int | None = None


class Pod(Object, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, type: str) -> Condition | None:
        return next((c for c in self.status.conditions or () if c.type == type), None)

    @property
    def ready(self) -> bool:
        condition = self.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def scheduled(self) -> bool:
        return bool(self.spec.node_name)

    @property
    def finished(self) -> bool:
        """No container of it will ever run again: it failed, was evicted, or completed."""
        return self.status.phase in ("Failed", "Succeeded")

    @property
    def waiting(self) -> bool:
        """None of its containers runs now: they wait for their images, or for another try after a crash."""
        states = [status.state for status in self.status.container_statuses or ()]
        return bool(states) and all(state is not None and state.waiting is not None for state in states)


class JobStatus(Struct, frozen=True):
    active: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    conditions: list[Condition] | None = None
    completion_time: datetime | None = None


class Job(Object, frozen=True):
    spec: JSONObject | None = None
    status: JobStatus = JobStatus()


class ConfigMap(Object, frozen=True):
    data: Labels | None = None


class Secret(Object, frozen=True):
    #: base64, as on the wire
    data: Labels | None = None


class VolumeClaimStatus(Struct, frozen=True):
    phase: str | None = None


class PersistentVolumeClaim(Object, frozen=True):
    spec: JSONObject | None = None
    status: VolumeClaimStatus = VolumeClaimStatus()


class Node(Object, frozen=True):
    spec: JSONObject | None = None
    status: JSONObject | None = None
