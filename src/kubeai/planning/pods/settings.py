"""What a Model and its resource profile say about Pods, made one. The Model's own word comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubeai.api.model import Model
from kubeai.api.pods import PodSettings as Own
from kubeai.config.system import ResourceProfile
from kubeai.planning.pods.overlay import Overlay

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PodSettings:
    """As it goes into the Pod; what nobody has asked for is empty."""

    #: Fields of the Pod's spec.
    scheduling: Mapping[str, Any] = field(default_factory=dict)
    grace_s: int | None = None
    shared_memory_size: str | None = None
    #: `startup`, `readiness`, `liveness` -> fields of that probe.
    probes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    overlays: tuple[Overlay, ...] = ()


def pod_settings(model: Model, profile: ResourceProfile | None) -> PodSettings:
    own = model.spec.pods or Own()
    base = profile or ResourceProfile()
    grace = own.termination_grace_period_seconds
    return PodSettings(
        scheduling={
            "nodeSelector": base.node_selector | (own.node_selector or {}),
            "affinity": base.affinity if own.affinity is None else own.affinity,
            "tolerations": [*base.tolerations, *(t for t in own.tolerations or () if t not in base.tolerations)],
            "schedulerName": own.scheduler_name or base.scheduler_name,
            "runtimeClassName": own.runtime_class_name or base.runtime_class_name,
        },
        grace_s=base.termination_grace_period_seconds if grace is None else grace,
        shared_memory_size=own.shared_memory_size or base.shared_memory_size,
        probes=_probes(base, own),
        overlays=tuple(_overlays(model, base, own)),
    )


def _probes(base: ResourceProfile, own: Own) -> dict[str, dict[str, int]]:
    said: dict[str, dict[str, int]] = {}
    for probes in (base.probes, own.probes):
        for kind, timings in (probes.model_dump(by_alias=True, exclude_none=True) if probes else {}).items():
            said[kind] = said.get(kind, {}) | timings
    return said


def _overlays(model: Model, base: ResourceProfile, own: Own) -> list[Overlay]:
    profile = (model.spec.resource_profile or "").rpartition(":")[0]
    found = (
        (f"resourceProfiles.{profile}.template of the system configuration", base.template, True),
        ("spec.pods.template", own.template, False),
    )
    return [
        Overlay(
            place,
            labels=(template.metadata and template.metadata.labels) or {},
            annotations=(template.metadata and template.metadata.annotations) or {},
            spec=template.spec or {},
            trusted=trusted,
        )
        for place, template, trusted in found
        if template
    ]
