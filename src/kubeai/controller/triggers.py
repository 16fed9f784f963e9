"""Which Models does a changed object concern? Pure look-ups; the answer goes into the workqueue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from kubeai.api.k8s.objects import Job, Object, OwnerReference, PersistentVolumeClaim
from kubeai.api.k8s.resources import JOBS, MODELS
from kubeai.api.model import Model
from kubeai.controller.observe import Key
from kubeai.planning.names import cache_claim, evict_job, files_config_map, load_job

_NAMES = tuple(re.compile(name("(.+)")) for name in (files_config_map, load_job, evict_job))


def controller_of(obj: Object) -> OwnerReference | None:
    return next((owner for owner in obj.metadata.owner_references or () if owner.controller), None)


def owning_model(obj: Object) -> Key | None:
    """The Model that controls the object directly."""
    owner = controller_of(obj)
    return (obj.namespace, owner.name) if owner and owner.kind == MODELS.kind and owner.name else None


def model_of_pod(pod: Object, job: Callable[[str, str], Job | None]) -> Key | None:
    """The Model that a Pod works for: as its server, or in one of its Jobs."""
    owner = controller_of(pod)
    if owner and owner.kind == JOBS.kind and owner.name:
        found = job(pod.namespace, owner.name)
        return owning_model(found) if found else None
    return owning_model(pod)


def model_in_name(obj: Object) -> Key | None:
    """The Model in whose place the object stands, whoever it belongs to."""
    found = next((found for pattern in _NAMES if (found := pattern.fullmatch(obj.name))), None)
    return (obj.namespace, found[1]) if found else None


def models_of_claim(claim: PersistentVolumeClaim, models: Iterable[Model]) -> Iterator[Key]:
    """All Models that share the claim as their cache."""
    for model in models:
        profile = model.spec.cache_profile
        if profile and model.namespace == claim.namespace and cache_claim(profile) == claim.name:
            yield model.namespace, model.name
