"""What the operator keeps right in the Model itself: labels that select it by feature, replicas in bounds, and a
finalizer where something outlives the Model's own objects."""

from __future__ import annotations

from typing import Any

from kubeai.api.model import CACHE_FINALIZER, FEATURE_LABEL_PREFIX, Model


def label_changes(model: Model) -> dict[str, str | None]:
    """`features.kubeai.org/FEATURE: "true"` for each feature; None for one that is to go."""
    wanted = {FEATURE_LABEL_PREFIX + feature: "true" for feature in model.spec.features}
    stale: dict[str, str | None] = {
        label: None for label in model.labels if label.startswith(FEATURE_LABEL_PREFIX) and label not in wanted
    }
    return stale | {label: value for label, value in wanted.items() if model.labels.get(label) != value}


def bounded_replicas(model: Model) -> int | None:
    """`spec.replicas` inside minReplicas..maxReplicas; as it is where autoscaling is disabled."""
    spec = model.spec
    if spec.autoscaling_disabled:
        return spec.replicas
    if spec.replicas is None or spec.replicas < spec.min_replicas:
        return spec.min_replicas
    if spec.max_replicas is not None and spec.replicas > spec.max_replicas:
        return spec.max_replicas
    return spec.replicas


def model_patch(model: Model) -> dict[str, Any]:
    """A merge patch with what is not right; empty when all is."""
    metadata: dict[str, Any] = {}
    if labels := label_changes(model):
        metadata["labels"] = labels
    finalizers = model.metadata.finalizers or []
    if model.spec.cache_profile and CACHE_FINALIZER not in finalizers:
        # Before anything is written to the cache: from then on there may be something to evict.
        metadata["finalizers"] = [*finalizers, CACHE_FINALIZER]
    patch: dict[str, Any] = {"metadata": metadata} if metadata else {}
    if (replicas := bounded_replicas(model)) != model.spec.replicas:
        patch["spec"] = {"replicas": replicas}
    return patch
