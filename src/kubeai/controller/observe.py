"""Copies what the caches know of one Model into a frozen `Observed`. No request is made here."""

from __future__ import annotations

from dataclasses import dataclass

from kubeai.api.k8s.objects import ConfigMap, Job, PersistentVolumeClaim, Pod
from kubeai.api.model import Model
from kubeai.controller.owned import OwnedPods
from kubeai.kube.informer import Informer
from kubeai.planning.names import cache_claim, evict_job, files_config_map, load_job, shared_load_job
from kubeai.planning.observed import Observed

#: A Model's namespace and name.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Observer:
    """Everything that one Model's plan is made from, by key."""

    models: Informer[Model]
    pods: Informer[Pod]
    owned: OwnedPods
    jobs: Informer[Job]
    claims: Informer[PersistentVolumeClaim]
    config_maps: Informer[ConfigMap]

    def observe(self, model: Model) -> Observed:
        namespace, profile = model.namespace, model.spec.cache_profile
        load = self.jobs.get(namespace, load_job(model.name)) or self.jobs.get(namespace, shared_load_job(model))
        evict = self.jobs.get(namespace, evict_job(model.name))
        job_pods = [pod for job in (load, evict) if job for pod in self.owned.of(job.uid).values()]
        return Observed(
            model=model,
            pods=tuple(self.owned.of(model.uid).values()),
            files=self.config_maps.get(namespace, files_config_map(model.name)),
            cache_claim=self.claims.get(namespace, cache_claim(profile)) if profile else None,
            load_job=load,
            evict_job=evict,
            job_pods=tuple(job_pods),
        )
