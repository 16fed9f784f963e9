"""Weights on a shared volume: brought once by a Job, read by every server, removed with the Model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import JOBS, MODELS, PERSISTENT_VOLUME_CLAIMS, Resource

from .site import S3_KEYS, WEIGHTS_FILE, Site, smollm2

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

JSON = dict[str, Any]
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
#: On the node. Everybody may write there, as docs/how-to/install-on-kubernetes.md asks.
DIRECTORY = "/var/lib/shared-cache"


def volume() -> JSON:
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteMany"],
        "hostPath": {"path": DIRECTORY},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "shared"}, "spec": spec}


async def test_a_cached_model_is_loaded_once_and_evicted_with_it(site: Site, s3_url: str) -> None:
    site.cluster.node.run("mkdir", "--mode=777", DIRECTORY)
    await site.client.create(VOLUMES, volume())
    await site.install(
        {
            "cacheProfiles": {"shared": {"sharedFilesystem": {"persistentVolumeName": "shared"}}},
            "secrets": S3_KEYS,
        }
    )
    spec = {"url": f"s3://models/{WEIGHTS_FILE}", "cacheProfile": "shared", "minReplicas": 2}
    await site.create(smollm2(site.index_url, **spec, env={"AWS_ENDPOINT_URL": s3_url}))
    await site.eventually("both servers are ready", lambda: both_ready(site))
    assert "Paris" in await site.capital_of_france()
    model = await site.model("smollm2")
    directory = f"models/smollm2-{model['metadata']['uid']}"
    assert model["status"]["cache"]["loaded"]
    assert listing(site, f"{DIRECTORY}/{directory}") == [Path(WEIGHTS_FILE).name]
    claim = await site.client.get(PERSISTENT_VOLUME_CLAIMS, "shared-model-cache-shared")
    assert "models.kubeai.org/smollm2" in claim["metadata"]["annotations"]
    await site.eventually("the Job that loaded is gone, with its Pod", lambda: no_jobs(site))

    await site.client.delete(MODELS, "smollm2")
    await site.eventually("the Model is gone", lambda: gone(site))
    assert listing(site, f"{DIRECTORY}/models") == []
    claim = await site.client.get(PERSISTENT_VOLUME_CLAIMS, "shared-model-cache-shared")
    assert "models.kubeai.org/smollm2" not in claim["metadata"].get("annotations", {})


async def both_ready(site: Site) -> bool:
    replicas = (await site.model("smollm2")).get("status", {}).get("replicas", {})
    return bool(replicas.get("ready") == 2)


async def no_jobs(site: Site) -> bool:
    return not await site.client.list(JOBS)


async def gone(site: Site) -> bool:
    return not await site.client.list(MODELS)


def listing(site: Site, directory: str) -> list[str]:
    return site.cluster.node.run("ls", "-1", directory).split()
