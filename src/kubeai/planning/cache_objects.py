"""The objects of the cache: the claim that Models of a profile share, and the Jobs that fill and clear it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubeai.api.model import Model
from kubeai.config.system import CacheProfile, System
from kubeai.planning.errors import PlanningError
from kubeai.planning.names import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    cache_claim,
    cache_directory,
    evict_job,
    load_job,
    owner_reference,
    shared_load_job,
)
from kubeai.planning.pods.additions import Additions
from kubeai.planning.pods.build import container, loader_resources, model_env, without_empty
from kubeai.planning.pods.patch import apply_patches
from kubeai.planning.pods.settings import pod_settings
from kubeai.planning.pods.sources import access
from kubeai.planning.profile import Resolved

JSON = dict[str, Any]

_KEEP_FINISHED_JOB_S = 60
_CACHE_ROOT = "/models"


def build_claim(model: Model, profile: CacheProfile) -> JSON:
    """Shared by all Models of the profile, so none of them owns it."""
    filesystem = profile.shared_filesystem
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": cache_claim(model.spec.cache_profile or ""),
            "namespace": model.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
        }
        | without_empty({"annotations": filesystem.annotations}),
        "spec": {
            "accessModes": list(filesystem.access_modes),
            # Empty is not absent here: it keeps the cluster's default class away from a volume chosen by name.
            "storageClassName": filesystem.storage_class_name or "",
            "resources": {"requests": {"storage": filesystem.size}},
        }
        | without_empty({"volumeName": filesystem.persistent_volume_name}),
    }


def build_load_job(model: Model, system: System, resolved: Resolved) -> JSON:
    """Downloads the model into its directory, once for all replicas. It knows its own source's credentials only.

    Nobody takes it away when it has finished but the operator, once it has recorded that: one that was down meanwhile
    would never learn of the download (fault C3). Raises `PlanningError`.
    """
    retain = bool(resolved.cache and resolved.cache.retain)
    directory = cache_directory(model, retain)
    additions = _volume(model, {"mountPath": directory, "subPath": directory.lstrip("/")})
    additions += access(resolved.source.scheme, system, model.spec.env)
    loader = container(
        system,
        name="loader",
        image=system.model_loading.image,
        args=(model.spec.url, directory),
        env=[*model_env(model), *additions.env],
        env_from=model.spec.env_from,
        mounts=additions.mounts,
        extra=loader_resources(system),
    )
    name = shared_load_job(model) if retain else load_job(model.name)
    return _job(model, name, {}, _template(model, system, loader, additions, resolved))


def build_evict_job(model: Model, system: System, resolved: Resolved | None, *directories: str) -> JSON:
    """Removes the directories. It must work even when the Model's profiles have been edited away."""
    additions = _volume(model, {"mountPath": _CACHE_ROOT, "subPath": _CACHE_ROOT.lstrip("/")})
    evictor = container(
        system,
        name="evictor",
        image=system.model_loading.image,
        command=("rm", "-rf", *directories),
        mounts=additions.mounts,
        extra=loader_resources(system),
    )
    try:
        template = _template(model, system, evictor, additions, resolved)
    except PlanningError:  # a patch that does not fit must not keep the Model from being deleted
        template = {"spec": _pod_spec(model, system, evictor, additions, resolved)}
    return _job(model, evict_job(model.name), {"ttlSecondsAfterFinished": _KEEP_FINISHED_JOB_S}, template)


def _volume(model: Model, mount: Mapping[str, str]) -> Additions:
    claim = {"claimName": cache_claim(model.spec.cache_profile or "")}
    return Additions(volumes=({"name": "model", "persistentVolumeClaim": claim},), mounts=({"name": "model", **mount},))


def _job(model: Model, name: str, settings: JSON, template: JSON) -> JSON:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": model.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            "ownerReferences": [owner_reference(model)],
        },
        "spec": {**settings, "parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template},
    }


def _template(model: Model, system: System, container: JSON, additions: Additions, resolved: Resolved | None) -> JSON:
    """Raises `PlanningError` when a patch does not fit."""
    spec = _pod_spec(model, system, container, additions, resolved)
    patches = system.model_loading.json_patches
    if not patches:
        return {"spec": spec}
    return apply_patches(
        {"metadata": {"labels": {}, "annotations": {}}, "spec": spec}, patches, "modelLoading.jsonPatches"
    )


def _pod_spec(model: Model, system: System, container: JSON, additions: Additions, resolved: Resolved | None) -> JSON:
    """The Job runs where the servers will, if nothing else is said: a volume may be reachable only from there
    (fault C2)."""
    pods, loading = system.model_server_pods, system.model_loading
    servers = pod_settings(model, resolved.resources if resolved else None).scheduling
    return without_empty(
        {
            "nodeSelector": loading.node_selector or servers["nodeSelector"],
            "affinity": loading.affinity or servers["affinity"],
            "tolerations": loading.tolerations or servers["tolerations"],
            "schedulerName": servers["schedulerName"],
            "priorityClassName": loading.priority_class_name,
            "serviceAccountName": loading.service_account_name or pods.service_account_name,
            "securityContext": pods.pod_security_context,
            "imagePullSecrets": pods.image_pull_secrets,
            "restartPolicy": "OnFailure",
            "containers": [container],
            "volumes": list(additions.volumes),
        }
    )
