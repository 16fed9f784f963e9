"""What the planner renders is what a real API server takes, to the last field: every engine, source and setting."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.k8s.resources import JOBS, PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from kubeai.api.model import Model
from kubeai.kube.client import Client
from kubeai.planning.cache_objects import build_claim, build_evict_job, build_load_job
from kubeai.planning.pods.build import build_pod
from kubeai.planning.profile import resolve
from tests.builders import model, system

pytestmark = pytest.mark.kubernetes

CERTIFICATES = {"caConfigMap": {"name": "ca"}}
SYSTEM = system(
    modelSources={"s3": {"endpoint": "https://minio", "region": "r"} | CERTIFICATES, "hf": CERTIFICATES},
    modelLoading={
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"pool": "cheap"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "serviceAccountName": "loader",
        "jsonPatches": [{"op": "add", "path": "/metadata/labels/a", "value": "b"}],
    },
    cacheProfiles={
        "own": {"sharedFilesystem": {"storageClassName": "rwx", "size": "1Ti", "annotations": {"a": "b"}}},
        "kept": {"sharedFilesystem": {"persistentVolumeName": "v", "accessModes": ["ReadWriteOnce"]}, "retain": True},
    },
)
URLS = ("hf://o/n?model=m.gguf", "s3://b/m.gguf", "pvc://claim/d/m.gguf", "pypi://p@1.0/p/m.gguf", "file:///d/m.gguf")
CASES = {
    f"{engine} from {url.partition(':')[0]}": (engine, url)
    for engine in ("VLLM", "SGLang", "Infinity", "TEI", "FasterWhisper", "LlamaCpp")
    for url in URLS
} | {
    "OLlama from its registry": ("OLlama", "ollama://m"),
    "OLlama from a claim": ("OLlama", "pvc://claim?model=m"),
}


async def take(client: Client, resource: Resource, rendered: dict[str, Any]) -> None:
    """As it would be created, but for the owner and the service account, which are not there."""
    rendered["metadata"].pop("ownerReferences", None)
    rendered["metadata"]["namespace"] = client.namespace
    for spec in (rendered["spec"], rendered["spec"].get("template", {}).get("spec", {})):
        spec.pop("serviceAccountName", None)
    strictly = {"dryRun": "All", "fieldValidation": "Strict"}
    await client.transport.request("POST", resource.path(client.namespace), params=strictly, body=rendered)


@pytest.mark.parametrize(("engine", "url"), CASES.values(), ids=CASES.keys())
async def test_a_server_pod(client: Client, engine: str, url: str) -> None:
    await take(client, PODS, build_pod(model(engine=engine, url=url), SYSTEM))


@pytest.mark.parametrize("profile", ["own", "kept"])
@pytest.mark.parametrize("url", ["hf://o/n", "s3://b/m", "gs://b/m", "oss://b/m"])
async def test_a_caches_objects(client: Client, url: str, profile: str) -> None:
    m: Model = model(url=url, cacheProfile=profile)
    resolved = resolve(m, SYSTEM)
    assert resolved.cache is not None
    await take(client, PERSISTENT_VOLUME_CLAIMS, build_claim(m, resolved.cache))
    await take(client, JOBS, build_load_job(m, SYSTEM, resolved))
    await take(client, JOBS, build_evict_job(m, SYSTEM, resolved, "/models/x"))
    await take(client, PODS, build_pod(m, SYSTEM))
