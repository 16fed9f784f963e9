"""Names of the objects that belong to a Model, and the labels that tie them to it.

All of them are contracts with those who already run Models: dashboards and scripts select by them.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from kubeai.api.k8s.names import random_suffix
from kubeai.api.k8s.objects import Pod
from kubeai.api.model import Model

APP_LABEL = "app"
MODEL_LABEL = "model"
POD_HASH_LABEL = "pod-hash"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "kubeai"
#: `adapter.kubeai.org/ADAPTER: HASH` for each adapter that a Pod has loaded.
ADAPTER_LABEL_PREFIX = "adapter.kubeai.org/"

#: Where the server listens, if not at the Pod's own address and port.
POD_IP_ANNOTATION = "model-pod-ip"
POD_PORT_ANNOTATION = "model-pod-port"
#: Fingerprint of `spec.files`, so that an edited file makes new Pods.
FILES_HASH_ANNOTATION = "kubeai.org/files-hash"
#: The loader that a Pod was made with, where it has one.
LOADER_IMAGE_ANNOTATION = "kubeai.org/loader-image"
#: On a Pod that is to go: since when it gets no further requests and finishes those that it has.
DRAINING_ANNOTATION = "kubeai.org/draining-since"


def files_config_map(model_name: str) -> str:
    return f"model-{model_name}-files"


def cache_claim(profile: str) -> str:
    return f"shared-model-cache-{profile}"


def load_job(model_name: str) -> str:
    return f"load-cache-{model_name}"


def evict_job(model_name: str) -> str:
    return f"evict-cache-{model_name}"


def shared_load_job(model: Model) -> str:
    """Downloads a source for all Models that share it."""
    return f"load-cache-{_source_digest(model)}"


def cache_directory(model: Model, retain: bool) -> str:
    """On the cache's volume. With `retain` it is the source's, else the Model's own.

    The Model's own is keyed by uid: one that is deleted and made again must not read a directory that is being removed.
    """
    if not retain:
        return f"/models/{model.name}-{model.uid}"
    words = re.sub(r"[^a-z0-9]+", "-", model.spec.url.partition("?")[0].lower()).strip("-")
    return f"/models/{words[:40].strip('-')}-{_source_digest(model)}"


def _source_digest(model: Model) -> str:
    """What is downloaded is decided by the url, and by variables such as the address of a hub: nobody may put other
    weights into a directory that Models of the plain url read."""
    spec = model.spec
    text = json.dumps([spec.url, spec.env or {}, spec.env_from or []], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def cached_model_annotation(model_name: str) -> str:
    """On the cache's claim: this Model's weights are on it."""
    return f"models.kubeai.org/{model_name}"


def cached_source_annotation(directory: str) -> str:
    """On the cache's claim: the directory of a source is complete."""
    return f"sources.kubeai.org/{directory.rpartition('/')[2]}"


def pod_labels(model: Model) -> dict[str, str]:
    engine = model.spec.engine.lower()
    return {
        APP_LABEL: "model",
        MODEL_LABEL: model.name,
        "app.kubernetes.io/name": engine,
        "app.kubernetes.io/instance": f"{engine}-{model.name}",
        MANAGED_BY_LABEL: MANAGED_BY,
    }


def pod_name(model: Model, pod_hash: str, index: int) -> str:
    """The name of replica number `index` with this hash.

    It looks random and is not: planning the same step twice (a lost answer, a cache that lags) must give the same
    name, so that the second create finds the first one's Pod.
    """
    digest = hashlib.sha256(f"{model.uid}/{pod_hash}/{index}".encode()).digest()
    return f"model-{model.name}-{pod_hash}-{random_suffix(digest)}"


def is_draining(pod: Pod) -> bool:
    return DRAINING_ANNOTATION in pod.annotations


def endpoint_name(pod: Pod) -> str:
    """How gateways name the Pod. The same as in earlier releases: it decides where on the hash ring the Pod is."""
    return f"{pod.namespace}/{pod.name}"


def owner_reference(model: Model) -> dict[str, Any]:
    return {
        "apiVersion": "kubeai.org/v1",
        "kind": "Model",
        "name": model.name,
        "uid": model.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
