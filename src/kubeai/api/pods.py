"""What a Model says about its Pods beyond what its engine and its resource profile say.

The keys are those that a resource profile of the system configuration has, too; the Model's own come first.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema
from pydantic.config import JsonDict

from kubeai.api.base import APIType, Int32, Int64

_ANYTHING: JsonDict = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TOLERATION: JsonDict = {
    "type": "object",
    "description": "Taints of nodes that the Pods put up with (core/v1 Toleration).",
    "properties": {
        "key": {"type": "string", "description": "Key of the taint; without it all keys, with operator Exists."},
        "operator": {"type": "string", "description": "Exists or Equal (the default)."},
        "value": {"type": "string", "description": "Value of the taint."},
        "effect": {"type": "string", "description": "NoSchedule, PreferNoSchedule or NoExecute; without it all."},
        "tolerationSeconds": {
            "type": "integer",
            "format": "int64",
            "description": "How long a NoExecute taint is put up with; without it for ever.",
        },
    },
}
#: What makes a Pod one of a Model's, and tells gateways and operator what it is.
OWN_POD_LABELS = (
    "app",
    "model",
    "pod-hash",
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
)
OWN_POD_ANNOTATIONS = (
    "model-pod-ip",
    "kubeai.org/files-hash",
    "kubeai.org/loader-image",
    "kubeai.org/draining-since",
)
QUANTITY_PATTERN = "^[0-9]+(\\.[0-9]+)?([KMGTPE]i|[kMGTPE])?$"


class ProbeTimings(APIType):
    """When a probe asks, and how often it must fail. What is left out is as the engine has it."""

    initial_delay_seconds: Int32 | None = Field(
        default=None, ge=0, description="How long after the container's start the first question is asked."
    )
    period_seconds: Int32 | None = Field(default=None, ge=1, description="Time between two questions.")
    timeout_seconds: Int32 | None = Field(default=None, ge=1, description="How long an answer may take.")
    failure_threshold: Int32 | None = Field(
        default=None, ge=1, description="After how many failures in a row the probe has failed."
    )


class Probes(APIType):
    """Timings of the server's probes."""

    startup: ProbeTimings | None = Field(
        default=None,
        description="Until it has passed the server is starting; it may take periodSeconds times failureThreshold.",
    )
    readiness: ProbeTimings | None = Field(default=None, description="While it fails the server gets no requests.")
    liveness: ProbeTimings | None = Field(default=None, description="When it has failed the server is restarted.")


class TemplateMetadata(APIType):
    """Labels and annotations to add."""

    labels: dict[str, str] | None = Field(default=None, description="Labels to add to the Pods.")
    annotations: dict[str, str] | None = Field(default=None, description="Annotations to add to the Pods.")


class PodTemplate(APIType):
    """A part of a Pod that is laid over the finished one."""

    metadata: TemplateMetadata | None = Field(default=None, description="Labels and annotations to add.")
    spec: Annotated[dict[str, Any] | None, WithJsonSchema(_ANYTHING)] = Field(
        default=None,
        description="Fields of core/v1 PodSpec, as in a strategic merge patch: containers, initContainers, volumes and "
        'env are merged by their names, `$patch: delete` takes one away. The server\'s container is "server". Fields '
        "that give a Pod power over its node belong into the system configuration.",
    )


class PodSettings(APIType):
    """What the Model's Pods have that its engine and its resource profile do not say. An addition of this project."""

    node_selector: dict[str, str] | None = Field(
        default=None, description="Labels that a node must have, beside those of the resource profile."
    )
    affinity: Annotated[dict[str, Any] | None, WithJsonSchema(_ANYTHING)] = Field(
        default=None, description="core/v1 Affinity of the Pods, in place of the resource profile's."
    )
    tolerations: list[Annotated[dict[str, Any], WithJsonSchema(_TOLERATION)]] | None = Field(
        default=None, description="Taints of nodes that the Pods put up with, beside those of the resource profile."
    )
    scheduler_name: str | None = Field(default=None, description="Scheduler of the Pods.")
    runtime_class_name: str | None = Field(default=None, description="Runtime class of the Pods.")
    shared_memory_size: str | None = Field(
        default=None,
        pattern=QUANTITY_PATTERN,
        description="Upper bound of /dev/shm, for example 8Gi; it counts as memory. Without it the node decides.",
    )
    termination_grace_period_seconds: Int64 | None = Field(
        default=None,
        ge=0,
        description="How long a server may take to stop. Requests have ended before, see rollout.drainTimeoutSeconds.",
    )
    probes: Probes | None = Field(default=None, description="Timings of the server's probes.")
    template: PodTemplate | None = Field(
        default=None, description="A part of a Pod that is laid over the finished one, after the resource profile's."
    )
