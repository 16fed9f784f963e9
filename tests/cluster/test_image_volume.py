"""Weights in a container image, which a real kubelet and a real container runtime mount as a volume."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kubeai.api.k8s.resources import MODELS, SECRETS
from scripts.kubernetes.registry import Registry

from .site import Site, extract_weights, name_of, smollm2

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

IMAGE = "localhost/smollm2:test"
PULL_SECRET = "registry"


@pytest.fixture
async def weights(site: Site) -> str:
    """The path of the weights in the image, which the node has."""
    file = await asyncio.to_thread(extract_weights, site.cluster.images.cache)
    archive = await asyncio.to_thread(site.cluster.images.holding, file, "/weights/", IMAGE)
    await asyncio.to_thread(site.cluster.node.load_image, archive)
    return f"weights/{file.name}"


async def test_a_model_out_of_an_image_wakes_and_answers(site: Site, weights: str) -> None:
    url = f"oci://{IMAGE}?path={weights}"
    # It must not sleep again while it is looked at.
    await site.create(smollm2(site.index_url, url=url, scaleDownDelaySeconds=600))
    assert await site.servers("smollm2") == []
    assert "Paris" in await site.capital_of_france()
    (pod,) = await site.pods("model=smollm2")
    assert "initContainers" not in pod["spec"], "nobody but the node has brought the weights"
    mounts = (await site.kubectl.run("exec", name_of(pod), "--", "cat", "/proc/mounts")).out.splitlines()
    (options,) = [options for _, place, _, options, *_ in map(str.split, mounts) if place == "/model"]
    assert "ro" in options.split(",")


async def test_an_image_that_no_node_has_is_told_like_that_of_a_server(site: Site, weights: str) -> None:
    url = f"oci://localhost/nothing:test?path={weights}"
    await site.create(smollm2(site.index_url, url=f"{url}&pull=false", minReplicas=1))
    await ready(site, "False", "ImagePullFailed")
    await site.client.patch(MODELS, "smollm2", {"spec": {"url": f"oci://{IMAGE}?path={weights}&pull=false"}})
    await ready(site, "True", "Ready")


async def test_an_image_of_a_private_registry_is_pulled_with_its_secret(
    site: Site, weights: str, registry: Registry
) -> None:
    image = await asyncio.to_thread(site.cluster.images.push, IMAGE, registry)
    await site.create(smollm2(site.index_url, url=f"oci://{image}?path={weights}", minReplicas=1))
    said = await ready(site, "False", "ImagePullFailed")
    assert image in said, "which image"
    assert "authorization" in said, "and why"
    await site.client.create(SECRETS, pull_secret(registry))
    spec = {"pods": {"template": {"spec": {"imagePullSecrets": [{"name": PULL_SECRET}]}}}}
    await site.client.patch(MODELS, "smollm2", {"spec": spec})
    await ready(site, "True", "Ready")
    assert "Paris" in await site.capital_of_france()


async def ready(site: Site, status: str, reason: str) -> str:
    """Wait until the Model's condition `Ready` is so; its message."""
    messages: list[str] = []

    async def told() -> bool:
        conditions = (await site.model("smollm2")).get("status", {}).get("conditions", ())
        found = [c for c in conditions if (c["type"], c["status"], c["reason"]) == ("Ready", status, reason)]
        messages[:] = [condition["message"] for condition in found]
        return bool(found)

    await site.eventually(f"the Model says {reason}", told)
    return messages[0]


def pull_secret(registry: Registry) -> dict[str, Any]:
    """As `kubectl create secret docker-registry` makes it."""
    credentials = {"username": registry.user, "password": registry.password}
    config = json.dumps({"auths": {registry.address: credentials}})
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson"}
    return kind | {"metadata": {"name": PULL_SECRET}, "stringData": {".dockerconfigjson": config}}
