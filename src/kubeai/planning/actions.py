"""What a plan asks for, as values: the executor performs them one after the other, tests compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kubeai.api.k8s.objects import Object, Pod
from kubeai.api.k8s.resources import MODELS, PODS, Resource
from kubeai.api.model import Model

EventType = Literal["Normal", "Warning"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object under a name that the planner chose: if it exists already, this was done before."""

    resource: Resource
    object: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove exactly the object that was observed, not another of the same name."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    propagation: Propagation | None = None

    @classmethod
    def of(cls, resource: Resource, object: Object, propagation: Propagation | None = None) -> Delete:
        return cls(resource, object.namespace, object.name, object.uid, propagation)


@dataclass(frozen=True, slots=True)
class Patch:
    """A JSON merge patch. One that carries a resourceVersion is refused if the object has changed since."""

    resource: Resource
    namespace: str
    name: str
    patch: Mapping[str, Any]
    subresource: str | None = None

    @classmethod
    def of_model(cls, model: Model, patch: Mapping[str, Any]) -> Patch:
        """A change that was decided from the Model as it was observed, and is wrong for any other version of it."""
        metadata = {**patch.get("metadata", {}), "resourceVersion": model.metadata.resource_version}
        return cls(MODELS, model.namespace, model.name, {**patch, "metadata": metadata})


@dataclass(frozen=True, slots=True)
class Drain:
    """Mark a Pod that is to go, or take the mark away, if nobody has changed the Pod since it was observed."""

    namespace: str
    name: str
    uid: str
    resource_version: str | None
    #: None takes the mark away.
    since: datetime | None

    @classmethod
    def of(cls, pod: Pod, since: datetime | None) -> Drain:
        return cls(pod.namespace, pod.name, pod.uid, pod.metadata.resource_version, since)

    @property
    def resource(self) -> Resource:
        return PODS


Action = Create | Delete | Patch | Drain


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell the user about the Model, in the form of a Kubernetes Event."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done for one Model now. An empty one is the rule."""

    actions: tuple[Action, ...] = ()
    #: To be told when all actions are done.
    done: tuple[Event, ...] = ()
    #: The status as it is to be written; None when the stored one says the same.
    status: Mapping[str, Any] | None = None
    #: To be told together with the status: why the Model is as it is.
    events: tuple[Event, ...] = ()
    #: The plan may be another one when it is known how many requests each Pod has.
    wants_loads: bool = False
    #: The plan may be another one when these Pods have been read: before they are replaced because of their hash.
    wants_specs: tuple[Pod, ...] = ()
    #: Plan again after this time even if nothing changes.
    requeue_after_s: float | None = None
    #: What could not be planned because of somebody's edit, or None. Not an error: it waits for the next edit.
    problem: str | None = None
